"""Limits that several gateways hold requests against, over one store: exceeded by one request at most."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from trivet.budgets.budgets import TELL_SECONDS, Budgets, BudgetSettings
from trivet.budgets.reservation import Reservation
from trivet.errors import BudgetExceeded, StateUnavailable
from trivet.stores.state import StateStore
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit, Use

WORST = Use(1, 900, 5_000)
DEFAULT = BudgetSettings()
HELD = 1.0  # seconds that a refused client is told where the rest of a limit is only set aside


def limit(unit: Unit, most: int, owner: Owner = Owner.TENANT, name: str = "acme", **more: Any) -> Limit:
    return Limit(owner, name, Period.MONTH, unit, most, **more)


def limits(*given: Limit) -> LimitSet:
    return LimitSet(
        {"acme": tuple(one for one in given if one.owner is Owner.TENANT)},
        {"k": tuple(one for one in given if one.owner is Owner.KEY)},
    )


@asynccontextmanager
async def gateways(
    where: Path | str, count: int, *given: Limit, settings: BudgetSettings = DEFAULT
) -> AsyncIterator[list[Budgets]]:
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            store = StateStore.open(where)
            stack.callback(store.close)
            budgets = Budgets(store, limits(*given), settings)
            budgets.start()
            stack.push_async_callback(budgets.close)
            found.append(budgets)
        yield found


async def client(budgets: Budgets, used: list[Use], seed: int) -> None:
    """Asks until a limit is used up, and not only set aside; each request uses some of what it might."""
    chance = random.Random(seed)
    while True:
        try:
            held = await budgets.reserve("acme", "k", WORST)
        except StateUnavailable:  # a busy machine: it may have been granted all the same
            await asyncio.sleep(0.1)
            continue
        except BudgetExceeded as refused:
            if refused.retry_after > HELD:
                return
            await asyncio.sleep(0.3 * refused.retry_after)
            continue
        await asyncio.sleep(chance.random() * 0.01)
        spent = Use(1, chance.randint(1, WORST.tokens), chance.randint(1, WORST.nano_usd))
        used.append(spent)
        budgets.settle(held, spent)


@pytest.mark.parametrize("unit", list(Unit))
async def test_eight_clients_of_two_gateways_exceed_a_limit_by_one_request_at_most(
    state_place: Path | str, unit: Unit
) -> None:
    most = {Unit.REQUESTS: 100, Unit.TOKENS: 40_000, Unit.USD: 250_000}[unit]
    used: list[Use] = []
    async with gateways(state_place, 2, limit(unit, most)) as found:
        await asyncio.gather(*(client(found[number % 2], used, number) for number in range(8)))
    total = sum(one.of(unit) for one in used)
    biggest = max(one.of(unit) for one in used)
    assert most <= total < most + biggest  # used up, and no more than one request beyond
    if unit is Unit.REQUESTS:
        assert total == most


async def test_the_least_limit_counts_and_refusals_cost_nothing(state_place: Path | str) -> None:
    used: list[Use] = []
    given = (limit(Unit.REQUESTS, 1000), limit(Unit.REQUESTS, 20, Owner.KEY, "k"), limit(Unit.TOKENS, 10**6))
    async with gateways(state_place, 2, *given) as found:
        await asyncio.gather(*(client(found[number % 2], used, number) for number in range(8)))
        assert len(used) == 20
        with pytest.raises(BudgetExceeded, match="20 requests per month of key k") as refused:
            await found[0].reserve("acme", "k", WORST)
        assert refused.value.subject == "key k"
        # The tenant's other keys go on.
        held = await found[0].reserve("acme", "other", WORST)
        found[0].settle(held, Use(1, 1, 1))
    store = StateStore.open(state_place)
    start = Period.MONTH.window(await store.now())[0]
    counted = {one.id: await store.budget_usage(one.id, start) for one in given}
    store.close()
    assert counted == {
        given[0].id: (21, 0),
        given[1].id: (20, 0),
        given[2].id: (sum(one.tokens for one in used) + 1, 0),
    }


async def test_most_requests_do_not_ask_the_store(state_place: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    exchange = StateStore.exchange_budgets

    async def counted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        return await exchange(*arguments)

    monkeypatch.setattr(StateStore, "exchange_budgets", counted)
    async with gateways(state_place, 1, limit(Unit.REQUESTS, 100_000), limit(Unit.TOKENS, 10**9)) as (budgets,):
        for _ in range(3000):
            budgets.settle(await budgets.reserve("acme", "k", WORST), Use(1, 10, 1))
    assert calls < 30


async def test_a_warning_comes_before_the_refusal(state_place: Path | str) -> None:
    async with gateways(state_place, 1, limit(Unit.REQUESTS, 10, warn_at=0.5)) as (budgets,):
        told = []
        for _ in range(10):
            held = await budgets.reserve("acme", "k", WORST)
            told.append(held.warnings)
            budgets.settle(held, Use(1))
        assert told[:5] == [()] * 5
        assert told[5] == ("0.50 of 10 requests per month of tenant acme",)
        assert all(told[5:])
        assert list(budgets.shares().values()) == [1.0]


async def test_the_share_is_of_the_limit_that_holds_now(state_place: Path | str) -> None:
    """A limit that is gone, or higher, is not nearly used up for ever."""
    async with gateways(state_place, 1, limit(Unit.REQUESTS, 4)) as (budgets,):
        for _ in range(4):
            budgets.settle(await budgets.reserve("acme", "k", WORST), Use(1))
        assert list(budgets.shares().values()) == [1.0]
        budgets.replace(limits(limit(Unit.REQUESTS, 8)), BudgetSettings())
        assert list(budgets.shares().values()) == [0.5]
        budgets.replace(LimitSet(), BudgetSettings())
        assert not budgets.shares()


async def test_a_new_limit_holds_at_once_and_what_was_used_stays_used(state_place: Path | str) -> None:
    async with gateways(state_place, 1, limit(Unit.REQUESTS, 2)) as (budgets,):
        for _ in range(2):
            budgets.settle(await budgets.reserve("acme", "k", WORST), Use(1))
        with pytest.raises(BudgetExceeded):
            await budgets.reserve("acme", "k", WORST)
        budgets.replace(limits(limit(Unit.REQUESTS, 3)), BudgetSettings())
        budgets.settle(await budgets.reserve("acme", "k", WORST), Use(1))
        with pytest.raises(BudgetExceeded, match="3 requests per month"):
            await budgets.reserve("acme", "k", WORST)
        budgets.replace(LimitSet(), BudgetSettings())
        assert (await budgets.reserve("acme", "k", WORST)).parts == ()


async def test_a_lower_limit_holds_at_once_whatever_was_granted_under_the_higher_one(state_place: Path | str) -> None:
    async with gateways(state_place, 1, limit(Unit.REQUESTS, 10_000)) as (budgets,):
        for _ in range(2):
            budgets.settle(await budgets.reserve("acme", "k", WORST), Use(1))
        budgets.replace(limits(limit(Unit.REQUESTS, 3)), BudgetSettings())
        budgets.settle(await budgets.reserve("acme", "k", WORST), Use(1))
        with pytest.raises(BudgetExceeded, match="3 requests per month"):
            await budgets.reserve("acme", "k", WORST)


async def test_a_request_that_is_cancelled_while_it_asks_keeps_nothing(state_place: Path | str) -> None:
    async with gateways(state_place, 1, limit(Unit.REQUESTS, 1)) as (budgets,):
        for _ in range(5):
            asking = asyncio.create_task(budgets.reserve("acme", "k", WORST))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        for _ in range(50):
            try:
                held = await budgets.reserve("acme", "k", WORST)
                break
            except BudgetExceeded:
                await asyncio.sleep(0.05)
        budgets.settle(held, Use(1))
        with pytest.raises(BudgetExceeded):
            await budgets.reserve("acme", "k", WORST)


async def test_what_is_beyond_the_limit_is_for_one_request_alone(state_place: Path | str) -> None:
    async with gateways(state_place, 2, limit(Unit.TOKENS, 1000)) as (budgets, other):
        budgets.settle(await budgets.reserve("acme", "k", Use(1, 950)), Use(1, 950))
        beyond = await budgets.reserve("acme", "k", Use(1, 900))  # 50 are left
        for gateway in (budgets, other):
            with pytest.raises(BudgetExceeded) as refused:
                await gateway.reserve("acme", "k", Use(1, 100))
            assert refused.value.retry_after <= HELD
        budgets.settle(beyond, Use(1, 40))
        last = await let_in(budgets, Use(1, 500))  # 10 are left
        budgets.settle(last, Use(1, 20))
        with pytest.raises(BudgetExceeded):  # at once, before the store is told by itself
            await budgets.reserve("acme", "k", Use(1, 300))
        for gateway in (budgets, other):  # and none now, though the last one did not use what it had set aside
            assert await refused_for(gateway, Use(1, 1)) > HELD


async def let_in(gateway: Budgets, worst: Use) -> Reservation:
    """As soon as it is; BudgetExceeded if the window has to end first."""
    while True:
        try:
            return await gateway.reserve("acme", "k", worst)
        except BudgetExceeded as refused:
            if refused.retry_after > HELD:
                raise
            await asyncio.sleep(0.05)


async def refused_for(gateway: Budgets, worst: Use) -> float:
    """Seconds, once the store has been told all; AssertionError if it is let in."""
    await asyncio.sleep(1.5 * TELL_SECONDS)
    with pytest.raises(BudgetExceeded) as refused:
        await gateway.reserve("acme", "k", worst)
    return refused.value.retry_after
