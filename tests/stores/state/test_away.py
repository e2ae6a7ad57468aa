"""A database server that is away, comes back, or has a pooler before it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from tests.support.stores.postgres_server import PostgresServer, postgres_server
from trivet.errors import FailedPrecondition, StateUnavailable
from trivet.stores.state import StateStore
from trivet.types.rollout_state import Move, ObservationBatch, RolloutRecord

pytestmark = pytest.mark.process
NOWHERE = "postgresql://trivet:secret@127.0.0.1:1/rollouts"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of this test's own, to be stopped and started."""
    with postgres_server() as started:
        yield started


@pytest.fixture
async def store(server: PostgresServer) -> AsyncIterator[StateStore]:
    opened = StateStore.open(server.new_database())
    yield opened
    opened.close()


async def begun(store: StateStore) -> RolloutRecord:
    return await store.create("support", "d", "{}", actor="anna", reason="go")


async def back(store: StateStore, within: float = 120) -> None:
    """Wait until it answers."""
    end = time.monotonic() + within
    while True:
        try:
            await store.now()
            return
        except StateUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_server_that_was_started_again_is_used_again(
    server: PostgresServer, store: StateStore, how: signal.Signals
) -> None:
    record = await begun(store)
    server.stop(how)
    begin = time.monotonic()
    for call in (store.now(), store.current(), store.take_lease("leader", "one", 2)):
        with pytest.raises(StateUnavailable, match="away") as refused:
            await call
        assert str(server.folder) not in str(refused.value)
    assert time.monotonic() - begin < 20, "bounded in time"
    server.start()
    await back(store)
    assert (await store.current())["support"] == record


async def test_whoever_listens_is_told_again_after_the_server_was_started_again(
    server: PostgresServer, store: StateStore
) -> None:
    record, told = await begun(store), asyncio.Event()

    async def listen() -> None:
        async for _ in store.hints():
            told.set()

    async def hint() -> None:
        told.clear()
        await asyncio.wait_for(told.wait(), 30)

    listening = asyncio.create_task(listen())
    await asyncio.wait_for(told.wait(), 30)
    server.stop()
    server.start()
    await hint()  # something may have been missed
    await back(store)
    await asyncio.sleep(0.2)
    change = Move("start", "warming", -1, 0.0, "passed", "On.", "anna")
    waiting = asyncio.create_task(hint())
    await asyncio.sleep(0)
    await store.move(record.id, record.revision, change)
    await waiting
    listening.cancel()


async def test_a_server_that_is_away_at_the_start_is_used_when_it_is_there(server: PostgresServer) -> None:
    url = server.new_database()
    server.stop()
    store = await asyncio.to_thread(StateStore.open, url)
    with pytest.raises(StateUnavailable):
        await store.current()
    server.start()
    await back(store)
    await begun(store)
    store.close()


async def test_what_is_told_of_a_server_that_is_away_names_neither_host_nor_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = await asyncio.to_thread(StateStore.open, NOWHERE)
    for _ in range(3):
        with pytest.raises(StateUnavailable) as refused:
            await store.now()
    assert "127.0.0.1" not in str(refused.value)
    said = [record.getMessage() for record in caplog.records if "away" in record.getMessage()]
    assert len(said) == 1, "once, not with every call"
    assert "secret" not in caplog.text
    store.close()


@pytest.mark.parametrize(
    ("address", "problem"),
    [("mysql://u@h/d", "begins with mysql://, expected postgresql://"), ("no url", "is not a URL")],
)
def test_another_address_is_refused(address: str, problem: str) -> None:
    with pytest.raises(FailedPrecondition, match=problem):
        StateStore.open(address)


async def test_a_transaction_that_is_left_alone_gives_its_locks_up(server: PostgresServer, store: StateStore) -> None:
    """As of a gateway whose machine is asleep: the others go on, with an error or two meanwhile."""
    record = await begun(store)
    asleep = psycopg.connect(server.url("test1"))
    asleep.execute("SELECT set_config('idle_in_transaction_session_timeout', '1000', true)")
    asleep.execute("SELECT * FROM route FOR UPDATE")
    change = Move("start", "warming", -1, 0.0, "passed", "On.", "anna")
    assert (await store.move(record.id, record.revision, change)).state == "warming"
    asleep.close()


async def test_a_lock_that_is_not_given_up_is_waited_for_within_bounds(
    server: PostgresServer, store: StateStore
) -> None:
    record = await begun(store)
    with psycopg.connect(server.url("test1")) as holding:
        holding.execute("SELECT * FROM rollout FOR UPDATE")
        begin = time.monotonic()
        with pytest.raises(StateUnavailable):
            await store.append([ObservationBatch(record.id, 0, "g", "e", 0, b"x")])
        assert 4 < time.monotonic() - begin < 15
        assert (await store.current())["support"].batches == 0


async def test_nothing_is_kept_in_a_session_between_transactions(server: PostgresServer, store: StateStore) -> None:
    """A pooler in transaction mode gives each transaction another session: nothing may stay in one."""
    record = await begun(store)
    for number in range(8):
        await store.append([ObservationBatch(record.id, 0, "g", "e", number, b"x")])
        await store.take_lease("leader", "one", 2)
    kept = await store._database.run(
        lambda connection: connection.exec_driver_sql(
            "SELECT (SELECT count(*) FROM pg_prepared_statements), "
            "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"
        ).one()
    )
    assert tuple(kept) == (0, 0)
    with psycopg.connect(server.url("postgres")) as looking:
        queries = looking.execute(
            "SELECT query FROM pg_stat_activity WHERE application_name = 'trivet' AND datname = 'test1'"
        ).fetchall()
    assert queries
    assert {query for (query,) in queries} <= {"COMMIT", "ROLLBACK"}, "each ends with its transaction"


async def test_the_clock_is_the_databases(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record, before = await begun(store), await store.now()
    monkeypatch.setattr(time, "time", lambda: before + 600)
    lease = await store.take_lease("leader", "one", 30)
    assert lease is not None
    assert before < lease.expires < before + 60
    change = Move("start", "warming", -1, 0.0, "passed", "On.", "one")
    moved = await store.move(record.id, record.revision, change, lease)
    assert before <= moved.changed_at < before + 60
    assert await store.take_lease("leader", "two", 30) is None
