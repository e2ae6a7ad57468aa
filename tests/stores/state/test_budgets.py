"""Budgets in the state store, on both databases: grants, accounts that count once, and what a dead gateway holds."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from trivet.stores.state import StateStore
from trivet.stores.state.database.migration import STATE_VERSION
from trivet.types.budget import Claim, Grant, Period

LEASE = 30.0


class Clock:
    """The clock of a store that is a file."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def ask(need: int, want: int = 0, *, most: int = 100, start: int | None = None, spent: int = 0, held: int = 0) -> Claim:
    return Claim("tenant:acme/day/tokens", Period.DAY, most, start, spent, held, need, want)


async def exchange(store: StateStore, gateway: str, number: int, *claims: Claim, lease: float = LEASE) -> list[Grant]:
    grants = await store.exchange_budgets(gateway, number, lease, claims)
    assert grants is not None
    return list(grants)


async def test_a_need_is_met_as_long_as_anything_is_left_and_then_by_nobody(state_store: StateStore) -> None:
    (first,) = await exchange(state_store, "a", 1, ask(60))
    assert (first.granted, first.overdrawn, first.used, first.held) == (60, False, 0, 60)
    (last,) = await exchange(state_store, "b", 1, ask(60))
    assert (last.granted, last.overdrawn, last.held) == (60, True, 120)
    (refused,) = await exchange(state_store, "a", 2, ask(1, start=first.start, held=60))
    assert (refused.granted, refused.overdrawn) == (0, False)
    # What the last one did not use is free again.
    (after,) = await exchange(state_store, "b", 2, ask(5, start=last.start, spent=10))
    assert (after.granted, after.used, after.held) == (5, 10, 65)


async def test_more_than_the_need_becomes_less_towards_the_end(state_store: StateStore) -> None:
    granted = []
    for number in range(1, 8):
        (grant,) = await exchange(state_store, f"g{number}", 1, ask(1, 50))
        granted.append(grant.granted)
    assert granted == sorted(granted, reverse=True)
    assert granted[0] == 1 + (100 - 1) // 4
    assert sum(granted) <= 100


async def test_all_needs_are_met_or_none(state_store: StateStore) -> None:
    other = Claim("key:k/minute/requests", Period.MINUTE, 1, None, need=1)
    await exchange(state_store, "a", 1, other)
    grants = await exchange(state_store, "b", 1, ask(10), other)
    assert [grant.granted for grant in grants] == [0, 0]
    assert await state_store.budget_usage(ask(1).limit, grants[1].start) == (0, 0)


async def test_a_message_that_comes_twice_or_late_counts_once(state_store: StateStore) -> None:
    (first,) = await exchange(state_store, "a", 1, ask(20))
    told = ask(0, start=first.start, spent=7, held=13)
    for _ in range(2):
        await state_store.exchange_budgets("a", 2, LEASE, [told])
    (newer,) = await exchange(state_store, "a", 3, ask(0, start=first.start, spent=9, held=0))
    assert (newer.used, newer.held) == (9, 0)
    assert await state_store.exchange_budgets("a", 2, LEASE, [told]) is None
    assert await state_store.budget_usage(told.limit, first.start) == (9, 0)


async def test_what_a_dead_gateway_holds_is_free_after_its_lease_and_what_it_told_stays(
    state_store: StateStore,
) -> None:
    (first,) = await exchange(state_store, "dead", 1, ask(50), lease=0.5)
    await exchange(state_store, "dead", 2, ask(40, start=first.start, spent=30, held=20), lease=0.5)
    (refused,) = await exchange(state_store, "b", 1, ask(20))
    assert (refused.granted, refused.overdrawn) == (20, True)
    (none,) = await exchange(state_store, "c", 1, ask(20))
    assert none.granted == 0
    await asyncio.sleep(0.6)
    (freed,) = await exchange(state_store, "c", 2, ask(20))
    assert (freed.granted, freed.used, freed.held) == (20, 30, 40)


async def test_many_at_once_exceed_a_limit_by_one_need_at_most(state_store: StateStore) -> None:
    async def one(number: int) -> int:
        claims = [ask(7, 3, most=500), Claim("key:k/hour/requests", Period.HOUR, 1000, None, need=1, want=9)]
        return (await exchange(state_store, f"g{number}", 1, *claims))[1].granted

    granted = await asyncio.gather(*(one(number) for number in range(120)))
    assert 500 <= sum(granted) < 500 + 7


async def test_a_window_ends_by_the_stores_clock_and_never_comes_back(tmp_path: Path) -> None:
    clock = Clock(86_400.0 * 20_000 - 10)
    store = StateStore.open(tmp_path / "state.sqlite", clock=clock)
    (old,) = await exchange(store, "a", 1, ask(100))
    clock.at += 20
    (new,) = await exchange(store, "a", 2, ask(30, start=old.start, spent=80, held=20))
    assert (new.start, new.used, new.granted) == (old.end, 0, 30)
    assert await store.budget_usage(ask(1).limit, old.start) == (80, 20)
    clock.at -= 15  # set back into the old window
    (still,) = await exchange(store, "b", 1, ask(71))
    assert (still.start, still.granted, still.overdrawn) == (new.start, 71, True)
    (refused,) = await exchange(store, "c", 1, ask(1))
    assert refused.granted == 0
    store.close()


async def test_a_clock_that_was_far_ahead_does_not_hold_the_windows_there(tmp_path: Path) -> None:
    clock = Clock(86_400.0 * 20_000)
    store = StateStore.open(tmp_path / "state.sqlite", clock=clock)
    (today,) = await exchange(store, "a", 1, ask(100))
    clock.at += 86_400.0 * 400
    await exchange(store, "b", 1, ask(100))
    clock.at -= 86_400.0 * 400
    (again,) = await exchange(store, "c", 1, ask(1))
    assert (again.start, again.granted) == (today.start, 0)
    store.close()


async def test_windows_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    clock = Clock(86_400.0 * 20_000)
    store = StateStore.open(tmp_path / "state.sqlite", clock=clock)
    (old,) = await exchange(store, "a", 1, ask(10))
    await exchange(store, "a", 2, ask(0, start=old.start, spent=10))
    clock.at += 86_400.0 + 7000
    assert await store.forget_budgets() == 0
    assert await store.budget_usage(ask(1).limit, old.start) == (10, 0)
    clock.at += 300
    assert await store.forget_budgets() == 2  # the window, and the gateway's part of it
    assert await store.forget_budgets() == 0
    assert await store.budget_usage(ask(1).limit, old.start) == (0, 0)
    # A late account of it is not taken for new use.
    await store.exchange_budgets("a", 3, LEASE, [ask(0, start=old.start, spent=12)])
    assert await store.budget_usage(ask(1).limit, old.start) == (0, 0)
    store.close()


async def test_a_store_of_the_first_version_gets_the_tables_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    store = StateStore.open(path)
    await store.announce({"support": "a" * 64})
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE budget_lease; DROP TABLE budget_window; DROP TABLE interaction; DROP TABLE erasure; "
            "DROP TABLE contents; DROP TABLE entries; DROP TABLE usage; DROP TABLE snapshots; "
            "DROP TABLE document_index; DROP TABLE document_writer; DROP TABLE document_write; "
            "UPDATE alembic_version SET version_num = '0001'; PRAGMA user_version = 1"
        )
    store = StateStore.open(path)
    assert await store.announce({"support": "a" * 64}) == {"support": 1}
    (grant,) = await exchange(store, "a", 1, ask(1))
    assert grant.granted == 1
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (STATE_VERSION,)
