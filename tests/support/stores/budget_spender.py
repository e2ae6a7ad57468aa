"""A gateway's budgets in a process of its own, whose clients use up a limit; says what each request used.

python budget_spender.py PLACE UNIT MOST CLIENTS SEED
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

from trivet.budgets.budgets import Budgets
from trivet.errors import BudgetExceeded, StateUnavailable
from trivet.stores.state import StateStore
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit, Use

WORST = Use(1, 900, 5_000)
HELD = 1.0


def limit(unit: Unit, most: int) -> Limit:
    """Of a month."""
    return Limit(Owner.TENANT, "acme", Period.MONTH, unit, most)


async def main(place: str, unit: Unit, most: int, clients: int, seed: int) -> None:
    """Spend, and print the amounts."""
    store = StateStore.open(place if "://" in place else Path(place))
    budgets = Budgets(store, LimitSet({"acme": (limit(unit, most),)}))
    budgets.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()  # the others are ready too
    used: list[int] = []
    await asyncio.gather(*(_client(budgets, unit, used, random.Random(seed + number)) for number in range(clients)))
    await budgets.close()
    store.close()
    sys.stdout.write(json.dumps(used))


async def _client(budgets: Budgets, unit: Unit, used: list[int], chance: random.Random) -> None:
    while True:
        try:
            held = await budgets.reserve("acme", "", WORST)
        except StateUnavailable:  # a busy machine: it may have been granted all the same
            await asyncio.sleep(0.1)
            continue
        except BudgetExceeded as refused:
            if refused.retry_after > HELD:
                return
            await asyncio.sleep(refused.retry_after / 4)
            continue
        await asyncio.sleep(chance.random() * 0.01)
        spent = Use(1, chance.randint(1, WORST.tokens), chance.randint(1, WORST.nano_usd))
        used.append(spent.of(unit))
        budgets.settle(held, spent)


if __name__ == "__main__":
    where, name, *numbers = sys.argv[1:]
    asyncio.run(main(where, Unit(name), *map(int, numbers)))
