"""Several gateways write to one index, search it and swap its snapshots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

import pytest

from tests.retrieval.shared.conftest import LIFE, SharedGateway, StartGateway
from tests.support.stores.postgres_server import PostgresServer
from trivet.errors import FailedPrecondition, RetrievalUnavailable
from trivet.retrieval.snapshot.snapshot import PreparedDocument
from trivet.stores.log_entry import LogEntry

pytestmark = [pytest.mark.embedding, pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]


async def rebuild(gateway: SharedGateway) -> None:
    async for _ in gateway.service.build(gateway.name, rebuild=True):
        pass


async def until(true: Callable[[], bool], within: float = 120) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_what_one_acknowledges_the_next_request_at_another_finds(start_gateway: StartGateway) -> None:
    one, two = await asyncio.gather(start_gateway(), start_gateway())  # neither finds the other's index in the making
    assert one.index.snapshot == two.index.snapshot
    for revision in range(1, 6):
        writer, reader = (one, two) if revision % 2 else (two, one)
        assert await writer.put("harbour", f"The harbour has {revision} cranes.") == revision
        assert await reader.found("how many cranes") == {"harbour": f"The harbour has {revision} cranes."}
    assert await two.service.delete(two.name, ["harbour"]) == ["harbour"]
    assert await one.found("how many cranes") == {}
    assert await one.service.delete(one.name, ["harbour"]) == []


async def test_writers_of_one_document_take_turns(start_gateway: StartGateway) -> None:
    gateways = [await start_gateway(), await start_gateway()]
    revisions = await asyncio.gather(
        *(gateways[n % 2].put("harbour", f"The harbour has {n} cranes.") for n in range(12))
    )
    assert sorted(revisions) == list(range(1, 13))
    last = revisions.index(12)
    for gateway in gateways:
        assert await gateway.found("how many cranes") == {"harbour": f"The harbour has {last} cranes."}


async def test_swaps_at_one_hide_nothing_at_another(start_gateway: StartGateway) -> None:
    one, two = await start_gateway(), await start_gateway()
    written, stop, problems = 0, asyncio.Event(), list[str]()
    await one.put("harbour", "The harbour has 0 cranes.")

    async def write() -> None:
        nonlocal written
        while not stop.is_set():
            await (one, two)[written % 2].put("harbour", f"The harbour has {written + 1} cranes.")
            written += 1

    async def read(gateway: SharedGateway) -> None:
        while not stop.is_set():
            before = written
            found = await gateway.found("how many cranes")
            number = int(found["harbour"].split()[3]) if "harbour" in found else -1
            if number < before:
                problems.append(f"found {number}, {before} was acknowledged")

    work = [asyncio.create_task(some) for some in (write(), read(one), read(two))]
    await rebuild(one)
    first = one.index.snapshot
    await rebuild(two)
    await one.service.rollback(one.name, first)
    stop.set()
    await asyncio.gather(*work)
    assert problems == []
    await until(lambda: one.index.snapshot == two.index.snapshot == first)
    assert written > 5


async def test_what_a_dead_gateway_logged_another_one_finishes(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start_gateway(), await start_gateway()
    await one.put("harbour", "The harbour has 1 crane.")
    logged, over = asyncio.Event(), asyncio.Event()

    async def never(_entry: LogEntry, _prepared: PreparedDocument) -> None:
        logged.set()
        await over.wait()
        raise RetrievalUnavailable("it has been dead for long")

    monkeypatch.setattr(one.index.live, "replace", never)
    writing = asyncio.create_task(one.put("harbour", "The harbour has 2 cranes."))
    await logged.wait()
    await one.die()
    assert await two.found("how many cranes") == {"harbour": "The harbour has 1 crane."}  # whole, though not the last
    begun = time.monotonic()
    assert await two.put("harbour", "The harbour has 3 cranes.") == 3  # waits until the dead one's claim has expired
    assert time.monotonic() - begun > LIFE / 4
    assert await two.found("how many cranes") == {"harbour": "The harbour has 3 cranes."}
    over.set()
    with pytest.raises(RetrievalUnavailable):
        await writing


async def test_an_unfinished_write_is_finished_without_another(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start_gateway(), await start_gateway()

    async def fails(_entry: LogEntry, _prepared: PreparedDocument) -> None:
        raise RetrievalUnavailable("as if killed")

    monkeypatch.setattr(one.index.live, "replace", fails)
    with pytest.raises(RetrievalUnavailable):
        await one.put("harbour", "The harbour has 2 cranes.")
    await one.die()
    end = time.monotonic() + 30
    while not await two.found("how many cranes"):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    assert await two.coordination.abandoned(two.name) == []


async def test_one_gateway_builds_at_a_time_and_a_dead_ones_build_goes_on(start_gateway: StartGateway) -> None:
    one, two = await start_gateway(), await start_gateway()
    for number in range(5):
        await one.put(f"pier{number}", f"Pier {number} was built in {1900 + number}.")
    building = one.service.build(one.name, rebuild=True)
    async for progress in building:
        if getattr(progress, "stage", "") == "write":
            break
    with pytest.raises(FailedPrecondition, match="another gateway is at work"):
        async with two.coordination.work(two.name, "a test"):
            pass
    before = two.index.snapshot
    await one.die()  # its build with it
    await rebuild(two)
    assert two.index.snapshot != before
    assert len(await two.found("when was the pier built")) == 5
    assert isinstance(building, AsyncGenerator)
    with suppress(Exception):
        await building.aclose()


async def test_a_swap_that_was_cut_short_leaves_the_live_one(start_gateway: StartGateway) -> None:
    one, two = await start_gateway(), await start_gateway()
    await one.put("harbour", "The harbour has 1 crane.")
    live = one.index.live
    async with one.coordination.work(one.name, "a swap"):
        await one.coordination.close_writes(one.name)
        await one.index._live.tenure.end(live)
        await one.die()
        assert await two.found("how many cranes") == {"harbour": "The harbour has 1 crane."}
        assert await two.put("harbour", "The harbour has 2 cranes.") == 2  # once the right to the swap has expired
        assert await two.found("how many cranes") == {"harbour": "The harbour has 2 cranes."}
    await until(lambda: two.index.live.changes > live.changes)
    assert await two.index._live.tenure.says_live(two.index.live)


async def test_without_the_store_searches_go_on_and_writes_are_refused(
    start_gateway: StartGateway, postgres: PostgresServer
) -> None:
    one, two = await start_gateway(), await start_gateway()
    await one.put("harbour", "The harbour has 1 crane.")
    await asyncio.sleep(1.2)
    postgres.stop()
    try:
        for gateway in (one, two):
            assert await gateway.found("how many cranes") == {"harbour": "The harbour has 1 crane."}
            with pytest.raises(RetrievalUnavailable, match="the document log is away") as refused:
                await gateway.put("harbour", "The harbour has 2 cranes.")
            assert refused.value.retry_after
    finally:
        postgres.start()
    assert await two.put("harbour", "The harbour has 2 cranes.") == 2
    assert await one.found("how many cranes") == {"harbour": "The harbour has 2 cranes."}
