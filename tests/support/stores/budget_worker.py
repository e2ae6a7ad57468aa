"""A gateway of its own process that sets aside all that it gets of a limit, for the test that kills it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from trivet.budgets.budgets import Budgets, BudgetSettings
from trivet.budgets.reservation import Reservation
from trivet.errors import BudgetExceeded
from trivet.stores.state import StateStore
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit, Use

LEASE = 5.0
MOST = 10
LIMIT = Limit(Owner.TENANT, "acme", Period.MONTH, Unit.REQUESTS, MOST)
LIMITS = LimitSet({"acme": (LIMIT,)})


def opened(where: str) -> Budgets:
    """Over a URL or a file."""
    return Budgets(StateStore.open(where if "://" in where else Path(where)), LIMITS, BudgetSettings(LEASE))


async def main(where: str) -> None:
    """End some requests, keep the others under way, and say how many there are of each."""
    budgets = opened(where)
    budgets.start()
    held: list[Reservation] = []
    while len(held) < MOST:
        try:
            held.append(await budgets.reserve("acme", "", Use(1)))
        except BudgetExceeded:
            break
    for one in held[:3]:
        budgets.settle(one, Use(1))
    await asyncio.sleep(2.5)  # the store is told
    sys.stdout.write(f"{len(held)}\n")
    sys.stdout.flush()
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
