"""An engine that is dead, stopped, slow or restarted; a gateway that is killed in the middle of a write."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from qdrant_client import models

from tests.support.retrieval.documents import markdown, search, texts
from trivet.errors import RetrievalUnavailable
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import IndexSettings
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.vector_process import VectorProcess

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]


T = TypeVar("T")
NOTHING = models.DeleteOperation(
    delete=models.FilterSelector(filter=models.Filter(must=[models.HasIdCondition(has_id=[0])]))
)


def kill(engine: VectorProcess) -> None:
    assert engine.pid is not None
    os.kill(engine.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def stopped(engine: VectorProcess) -> AsyncIterator[None]:
    """The engine does not run for a while."""
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def retried(call: Callable[[], Awaitable[T]]) -> T:
    """Again until the engine is back."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await call()
            except RetrievalUnavailable:
                await asyncio.sleep(0.05)


async def test_a_dead_engine_is_an_error_at_once_and_works_again_after_its_restart(
    service: IndexService, engine: VectorProcess
) -> None:
    await service.upsert("handbook", markdown("a", "Alpha is here."))
    restarts = engine.restarts
    kill(engine)
    with pytest.raises(RetrievalUnavailable) as died:
        while True:  # what was sent before the process was gone may still be answered
            await search(service, "alpha")
    assert "did not answer within" not in str(died.value)
    for call in (search(service, "alpha"), service.upsert("handbook", markdown("b", "x")), service.status()):
        with pytest.raises(RetrievalUnavailable) as refused:
            await call
        assert "did not answer within" not in str(refused.value)
    found = await retried(lambda: texts(service, "alpha"))
    assert found[0] == "Alpha is here."
    assert set(found) <= {"Alpha is here.", "x"}, "what was not acknowledged may have been logged"
    assert engine.restarts == restarts + 1
    assert not (await service.upsert("handbook", markdown("b", "Beta is new."))).unchanged


async def test_documents_that_an_engine_has_lost_are_written_again_and_counted(
    service: IndexService, engine: VectorProcess, store: QdrantStore
) -> None:
    for name in ("a", "b"):
        await service.upsert("handbook", markdown(name, f"Lamp {name}."))
    index = service.indexes["handbook"]
    assert index.repaired == 0
    async with store._connection.call(30) as client:  # as if the engine's folder were an older one
        await client.delete(index.live.collection, models.FilterSelector(filter=models.Filter()), wait=True)
    kill(engine)
    async with asyncio.timeout(60):
        while index.repaired < 2:
            await asyncio.sleep(0.05)
    assert set(await texts(service, "lamp")) == {"Lamp a.", "Lamp b."}
    assert index.repaired == 2, "what was lost, and nothing else"


async def test_a_stopped_engine_hangs_nobody(service: IndexService, engine: VectorProcess) -> None:
    await service.upsert("handbook", markdown("a", "Alpha is here."))
    async with stopped(engine):
        with pytest.raises(TimeoutError):  # the caller's own
            async with asyncio.timeout(0.15):
                await search(service, "alpha")
        begun = time.monotonic()
        with pytest.raises(RetrievalUnavailable, match="did not answer within"):
            await search(service, "alpha")
        assert time.monotonic() - begun < 10, "without one, the store's 1.5 s"
    assert await texts(service, "alpha") == ["Alpha is here."]


async def test_an_upsert_given_up_while_the_engine_was_stopped(service: IndexService, engine: VectorProcess) -> None:
    await service.upsert("handbook", markdown("a", "Alpha version one."))
    async with stopped(engine):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await service.upsert("handbook", markdown("a", "Alpha version two."))
    acknowledged = await service.upsert("handbook", markdown("a", "Alpha version three."))
    assert await texts(service, "alpha") == ["Alpha version three."]
    assert (await service.status())[0].passages == 1
    assert not acknowledged.unchanged


async def test_every_acknowledged_write_survives_kills_and_nothing_is_ever_mixed(
    make_service: Callable[..., Awaitable[IndexService]], engine: VectorProcess
) -> None:
    service = await make_service()
    draw = random.Random(5)
    acknowledged: dict[str, int] = {}
    tried: dict[str, int] = {}
    stop = False

    async def write(document_id: str) -> None:
        number = 0
        while not stop:
            number += 1
            tried[document_id] = number
            text = "\n\n".join(f"{document_id} part {n} has number {number}." for n in range(draw.choice((1, 3, 5))))
            with contextlib.suppress(RetrievalUnavailable):
                await service.upsert("handbook", markdown(document_id, text))
                acknowledged[document_id] = number
            await asyncio.sleep(0)

    writers = [asyncio.create_task(write(f"doc{n}")) for n in range(4)]
    for _ in range(3):
        before = dict(acknowledged)
        async with asyncio.timeout(60):
            while any(acknowledged.get(f"doc{n}", 0) < before.get(f"doc{n}", 0) + 5 for n in range(4)):
                await asyncio.sleep(0.01)
        kill(engine)
    stop = True
    await asyncio.gather(*writers)
    await retried(service.status)
    await service.close()
    fresh = await make_service()  # as after a restart of the gateway: finishes what was never acknowledged
    for document_id, least in acknowledged.items():
        found = [p for p in (await search(fresh, document_id, top_k=50)).passages if p.document_id == document_id]
        numbers = {int(passage.text.rpartition(" ")[2].rstrip(".")) for passage in found}
        assert len(numbers) == 1, f"{document_id}: mixed {numbers}"
        assert least <= numbers.pop() <= tried[document_id]
        assert [p.text.split()[2] for p in sorted(found, key=lambda p: p.text)] == [str(n) for n in range(len(found))]
    (status,) = await fresh.status()
    everything = [p for n in range(4) for p in (await search(fresh, f"doc{n} part number", top_k=50)).passages]
    assert status.documents == 4
    assert status.passages == len({passage.id for passage in everything}), "nothing is left over"


@pytest.mark.parametrize("after", ["stage", "publish"])
async def test_what_a_killed_gateway_left_behind_is_swept(
    after: str,
    make_service: Callable[..., Awaitable[IndexService]],
    store: QdrantStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = await make_service()
    await service.upsert("handbook", markdown("old", "Old has one part.\n\nAnd another."))

    async def die(*_: object) -> None:
        raise RetrievalUnavailable("the process is gone")

    # "publish": only the last step, the removal of the older revision, is lost.
    if after == "stage":
        monkeypatch.setattr(store, "publish", die)
    else:
        monkeypatch.setattr("trivet.stores.qdrant.points.delete_others", lambda _: NOTHING)
    for document in (markdown("old", "Old is new now."), markdown("new", "New is new.")):
        with contextlib.suppress(RetrievalUnavailable):
            await service.upsert("handbook", document)
    left = {"Old has one part.", "And another."} if after == "stage" else {"Old is new now.", "New is new."}
    assert set(await texts(service, "old new")) == left, "a search keeps to one revision before the sweep, too"
    await service.close()
    monkeypatch.undo()
    fresh = await make_service()
    (status,) = await fresh.status()
    assert set(await texts(fresh, "old new")) == {"Old is new now.", "New is new."}, "what was logged is finished"
    assert (status.documents, status.passages) == (2, 2)
    assert not (await fresh.upsert("handbook", markdown("old", "Old is third."))).unchanged
    assert (await fresh.status())[0].passages == 2


async def test_the_same_upsert_again_after_a_failed_one_makes_sure(
    service: IndexService, store: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise RetrievalUnavailable("the connection is gone")

    first = markdown("a", "First.")
    second = markdown("a", "Second.\n\nWith two parts.")
    for again in (second, first):
        before = await service.upsert("handbook", first)
        with monkeypatch.context() as patch:
            patch.setattr(store, "publish", die)
            with pytest.raises(RetrievalUnavailable):
                await service.upsert("handbook", second)
            assert await texts(service, "x") == ["First."]
            with pytest.raises(RetrievalUnavailable):
                await service.upsert("handbook", second)
        acknowledged = await service.upsert("handbook", again)
        expected = before.revision + (1 if again is second else 2)
        assert acknowledged.revision == expected, "what was logged has its revision for good"
        assert acknowledged.unchanged == (again is second)
        assert set(await texts(service, "x")) == ({"Second.", "With two parts."} if again is second else {"First."})


async def test_a_write_that_failed_is_finished_without_anybody_asking(
    service: IndexService, store: QdrantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(*_: object) -> None:
        raise RetrievalUnavailable("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "publish", die)
        with pytest.raises(RetrievalUnavailable):
            await service.upsert("handbook", markdown("a", "Logged, but not found yet."))
    async with asyncio.timeout(60):
        while await texts(service, "x") != ["Logged, but not found yet."]:
            await asyncio.sleep(0.05)


async def test_an_unchanged_document_is_rid_of_what_a_crash_left(
    service: IndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = markdown("a", "Second.")
    await service.upsert("handbook", markdown("a", "First.\n\nWith two parts."))
    with monkeypatch.context() as patch:
        patch.setattr("trivet.stores.qdrant.points.delete_others", lambda _: NOTHING)
        await service.upsert("handbook", document)
    assert (await service.status())[0].passages == 3
    assert (await service.upsert("handbook", document)).unchanged
    assert (await service.status())[0].passages == 1
    assert await texts(service, "x") == ["Second."]


async def test_an_engine_that_cannot_be_reached_is_an_error_in_time(
    open_stores: Callable[..., IndexResources], settings: IndexSettings
) -> None:
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    for endpoint in (QdrantEndpoint("http://127.0.0.1", 1), QdrantEndpoint("http://127.0.0.1", port)):
        store = QdrantStore.remote(endpoint)
        unreachable = IndexService(open_stores(store), {"handbook": settings})
        with pytest.raises(RetrievalUnavailable):
            await unreachable.start()
        with pytest.raises(RetrievalUnavailable, match="opened"):
            await search(unreachable, "anything")
        begun = time.monotonic()
        with pytest.raises(RetrievalUnavailable):
            await store.count("anything", "head")
        assert time.monotonic() - begun < 15
        await unreachable.close()
        await store.close()
    silent.close()
