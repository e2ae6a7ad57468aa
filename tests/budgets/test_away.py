"""The store away, slow or late: a gateway goes on with what it holds, and then as it is configured."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from trivet.budgets.budgets import TELL_SECONDS, Budgets, BudgetSettings
from trivet.budgets.exchange import STORE_SECONDS
from trivet.errors import BudgetExceeded, Overloaded, StateUnavailable
from trivet.types.budget import Claim, Grant, Limit, LimitSet, Owner, Period, Unit, Use

LIMIT = Limit(Owner.TENANT, "acme", Period.DAY, Unit.REQUESTS, 500)
LIMITS = LimitSet({"acme": (LIMIT,)})
WALL = 86_400 * 20_000.0


class Clock:
    """A monotonic clock that the test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Store:
    """One that grants all that is asked for, and more; unless it is away."""

    def __init__(self, clock: Clock, more: int = 10) -> None:
        self.clock = clock
        self.more = more
        self.away = False
        self.pause: asyncio.Event | None = None
        self.claims: list[Claim] = []
        self.calls = 0
        self.late = False
        self.forgotten = 0

    async def exchange_budgets(
        self, gateway: str, number: int, lease_seconds: float, claims: Sequence[Claim]
    ) -> Sequence[Grant] | None:
        self.calls += 1
        if self.pause is not None:
            await self.pause.wait()
        if self.away:
            raise StateUnavailable("away")
        if self.late:
            return None
        self.claims = list(claims)
        at = WALL + self.clock.at
        start, end = Period.DAY.window(at)
        return [
            Grant(claim.limit, start, end, at, claim.spent, claim.held, claim.need + self.more if claim.need else 0)
            for claim in claims
            if claim.need or claim.start == start
        ]

    async def forget_budgets(self) -> int:
        self.forgotten += 1
        return 1 if self.forgotten % 3 else 0


async def one(budgets: Budgets) -> None:
    budgets.settle(await budgets.reserve("acme", "", Use(1)), Use(1))


async def test_it_goes_on_with_what_it_holds_and_then_refuses() -> None:
    clock = Clock()
    store = Store(clock)
    budgets = Budgets(store, LIMITS, BudgetSettings(lease=15), clock=clock)
    await one(budgets)
    store.away = True
    for _ in range(10):
        await one(budgets)
    with pytest.raises(StateUnavailable):
        await one(budgets)


async def test_what_it_holds_is_its_own_until_the_lease_ends_and_no_longer() -> None:
    clock = Clock()
    store = Store(clock)
    budgets = Budgets(store, LIMITS, BudgetSettings(lease=15), clock=clock)
    await one(budgets)
    store.away = True
    clock.at += 14.9
    await one(budgets)
    clock.at += 0.2
    with pytest.raises(StateUnavailable):
        await one(budgets)
    store.away, clock.at = False, clock.at + 2
    await one(budgets)
    # It claims nothing of what it held under the old lease, and tells all that it has spent.
    assert [(claim.spent, claim.held, claim.need) for claim in store.claims] == [(2, 0, 1)]


async def test_it_may_be_told_to_let_requests_in_unchecked_and_counts_them_all_the_same() -> None:
    clock, unchecked = Clock(), [0]
    store = Store(clock, more=0)

    def count() -> None:
        unchecked[0] += 1

    settings = BudgetSettings(lease=15, allow_without_store=True)
    budgets = Budgets(store, LIMITS, settings, clock=clock, on_unchecked=count)
    await one(budgets)
    store.away = True
    for _ in range(5):
        await one(budgets)
    assert unchecked == [5]
    assert store.calls == 2  # one failed; the others did not wait for it again
    store.away, clock.at = False, clock.at + 2
    await one(budgets)
    assert store.claims[0].spent == 6


async def test_a_store_that_does_not_answer_holds_up_a_request_for_a_moment_and_the_next_not_at_all() -> None:
    loop = asyncio.get_running_loop()
    store = Store(Clock())
    store.clock.at = loop.time()
    store.pause = asyncio.Event()
    budgets = Budgets(store, LIMITS, clock=loop.time)
    for most in (STORE_SECONDS + 1, 0.1):
        async with asyncio.timeout(most):
            with pytest.raises(StateUnavailable):
                await one(budgets)


async def test_an_answer_to_a_message_that_came_late_is_no_grant() -> None:
    clock = Clock()
    store = Store(clock)
    store.late = True
    budgets = Budgets(store, LIMITS, clock=clock)
    with pytest.raises(StateUnavailable, match="later word"):
        await one(budgets)


async def test_only_so_many_of_a_tenant_wait_for_the_store() -> None:
    store = Store(Clock())
    store.pause = asyncio.Event()
    both = LimitSet({"acme": (LIMIT,)}, default=(LIMIT,))
    budgets = Budgets(store, both, clock=store.clock)
    waiting = [asyncio.create_task(one(budgets)) for _ in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await one(budgets)
    other = asyncio.create_task(budgets.reserve("globex", "", Use(1)))  # another tenant's may
    await asyncio.sleep(0)
    assert not other.done()
    store.pause.set()
    await asyncio.gather(*waiting, other)


async def test_a_clock_of_the_gateway_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    store = Store(clock)
    budgets = Budgets(store, LIMITS, clock=clock)
    await one(budgets)
    for jump in (-86_400.0 * 365, 86_400.0 * 365):
        monkeypatch.setattr("time.time", lambda jump=jump: WALL + jump)
        await one(budgets)
    assert list(budgets.shares().values()) == [3 / 500]


async def test_a_request_counts_in_the_window_in_which_it_came() -> None:
    clock = Clock()
    store = Store(clock)
    budgets = Budgets(store, LIMITS, BudgetSettings(lease=600), clock=clock)
    clock.at = 86_390.0
    held = await budgets.reserve("acme", "", Use(1))
    old = Period.DAY.window(WALL + clock.at)[0]
    clock.at += 20  # midnight was in between
    await one(budgets)
    budgets.settle(held, Use(1))
    budgets.start()
    await asyncio.sleep(1.5 * TELL_SECONDS)
    assert [(claim.start, claim.spent, claim.held) for claim in store.claims if claim.start == old] == [(old, 1, 0)]
    await budgets.close()


async def test_what_was_asked_for_is_given_back_at_the_end() -> None:
    clock = Clock()
    store = Store(clock)
    budgets = Budgets(store, LIMITS, clock=clock)
    budgets.start()
    await one(budgets)
    await budgets.close()
    assert [(claim.spent, claim.held) for claim in store.claims] == [(1, 0)]


async def test_a_refusal_is_remembered_for_a_moment() -> None:
    clock = Clock()
    refused: list[Limit] = []
    store = Store(clock)

    async def full(*_: object) -> Sequence[Grant]:
        store.calls += 1
        return [Grant(LIMIT.id, int(WALL), int(WALL) + 86_400, WALL + clock.at, LIMIT.most, 0, 0)]

    store.exchange_budgets = full  # type: ignore[method-assign,assignment]
    budgets = Budgets(store, LIMITS, clock=clock, on_refused=refused.append)
    for _ in range(20):
        with pytest.raises(BudgetExceeded):
            await one(budgets)
    assert (store.calls, len(refused)) == (1, 20)
    clock.at += 1.1
    with pytest.raises(BudgetExceeded):
        await one(budgets)
    assert store.calls == 2


async def test_windows_that_are_long_over_are_forgotten_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivet.budgets.budgets.FORGET_SECONDS", 0.1)
    monkeypatch.setattr("trivet.budgets.budgets._PAUSE_SECONDS", 0.01)
    clock = Clock()
    store = Store(clock)
    budgets = Budgets(store, LIMITS, clock=clock)
    budgets.start()
    async with asyncio.timeout(60):
        while store.forgotten < 6:
            await asyncio.sleep(0.02)
    await budgets.close()
