"""Gateways over one state store, and clients that ask as fast as they can."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from trivet.budgets.budgets import Budgets
from trivet.errors import BudgetExceeded, StateUnavailable
from trivet.stores.state import StateStore
from trivet.types.budget import Claim, Grant, Limit, LimitSet, Owner, Period, Unit, Use

WORST = Use(1, 2000, 1_000_000)
MEAN = 700  # tokens that a request really uses


class CountedStore:
    """The store, with a count of the calls."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.calls = 0

    async def exchange_budgets(self, *arguments: Any) -> Sequence[Grant] | None:
        """As the store does it."""
        self.calls += 1
        return await self._store.exchange_budgets(*arguments)

    async def forget_budgets(self) -> int:
        """As the store does it."""
        return await self._store.forget_budgets()


@dataclass(frozen=True, slots=True)
class Shared:
    """Eight clients of two gateways until the limit was used up."""

    used: float
    """Share of the limit."""
    beyond: float
    """By how much it was exceeded, in requests of the largest size that there was."""
    requests: int
    calls: int
    """Of the store, by both gateways, each one's flushes included."""


def limits(count: int, most: int) -> LimitSet:
    """So many limits of one tenant."""
    kinds = [(period, unit) for unit in (Unit.TOKENS, Unit.REQUESTS) for period in Period][:count]
    return LimitSet({"acme": tuple(Limit(Owner.TENANT, "acme", period, unit, most) for period, unit in kinds)})


@asynccontextmanager
async def opened(where: Any, given: LimitSet) -> AsyncIterator[tuple[Budgets, CountedStore]]:
    """One gateway's budgets, at work."""
    async with AsyncExitStack() as stack:
        store = await asyncio.to_thread(StateStore.open, where)
        stack.callback(store.close)
        counted = CountedStore(store)
        budgets = Budgets(counted, given)
        budgets.start()
        stack.push_async_callback(budgets.close)
        yield budgets, counted


async def let_in(where: Any, count: int, rounds: int) -> tuple[float, float]:
    """CPU seconds of a request that is set aside and settled, and calls of the store for a thousand."""
    async with opened(where, limits(count, 10**15)) as (budgets, store):
        budgets.settle(await budgets.reserve("acme", "", WORST), WORST)
        calls, begun = store.calls, time.process_time()
        for _ in range(rounds):
            budgets.settle(await budgets.reserve("acme", "", WORST), Use(1, MEAN, 1000))
        return (time.process_time() - begun) / rounds, 1000 * (store.calls - calls) / rounds


async def asked(where: Any, rounds: int) -> float:
    """Seconds of a call of the store for one limit, nothing else going on."""
    async with opened(where, limits(0, 1)) as (_, store):
        begun = time.perf_counter()
        for number in range(1, rounds + 1):
            claim = Claim("tenant:other/day/tokens", Period.DAY, 10**15, None, need=1)
            await store.exchange_budgets("g", number, 15.0, [claim])
        return (time.perf_counter() - begun) / rounds


async def shared(where: Any, most: int, seed: int) -> Shared:
    """A limit of tokens in a month."""
    given = LimitSet({"acme": (Limit(Owner.TENANT, "acme", Period.MONTH, Unit.TOKENS, most),)})
    used: list[int] = []
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(opened(where, given)) for _ in range(2)]
        clients = (_client(gateways[number % 2][0], used, seed * 8 + number) for number in range(8))
        await asyncio.gather(*clients)
        calls = sum(store.calls for _, store in gateways)
    total = sum(used)
    return Shared(total / most, max(0, total - most) / max(used), len(used), calls)


async def _client(budgets: Budgets, used: list[int], seed: int) -> None:
    chance = random.Random(seed)
    while True:
        try:
            held = await budgets.reserve("acme", "", WORST)
        except StateUnavailable:
            await asyncio.sleep(0.1)
            continue
        except BudgetExceeded as refused:
            if refused.retry_after > 1:
                return
            await asyncio.sleep(refused.retry_after / 4)
            continue
        await asyncio.sleep(chance.random() * 0.02)
        tokens = chance.randint(1, 2 * MEAN)
        used.append(tokens)
        budgets.settle(held, Use(1, tokens, 0))
