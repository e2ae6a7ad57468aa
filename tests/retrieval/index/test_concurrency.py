"""Readers and writers of the same documents at once."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.retrieval.documents import markdown, search, texts
from trivet.retrieval.index.locks import DocumentLocks
from trivet.retrieval.service import IndexService
from trivet.stores.records import DocumentKey
from trivet.types.passage import Document

A, B = DocumentKey("", "a"), DocumentKey("", "b")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]


def version(number: int, paragraphs: int) -> Document:
    """All paragraphs say which version they are of, and how many there are."""
    text = "\n\n".join(f"Policy part {n} of {paragraphs}, version {number}." for n in range(paragraphs))
    return markdown("policy", text)


async def test_a_replaced_document_is_never_missing_and_never_mixed(service: IndexService) -> None:
    draw = random.Random(3)
    await service.upsert("handbook", version(0, 3))
    for filler in range(5):
        await service.upsert("handbook", markdown(f"filler{filler}", f"Policy of another kind, number {filler}."))
    acknowledged, stop = 0, False
    searches = 0

    async def write() -> None:
        nonlocal acknowledged, stop
        for number in range(1, 30):
            paragraphs = draw.choice((1, 2, 5, 9))
            await service.upsert("handbook", version(number, paragraphs))
            acknowledged = number
        stop = True

    async def read() -> None:
        nonlocal searches
        while not stop:
            floor = acknowledged
            found = (await search(service, "policy part version", top_k=20)).passages
            ours = [passage.text for passage in found if passage.document_id == "policy"]
            versions = {int(text.rpartition("version ")[2].rstrip(".")) for text in ours}
            assert len(versions) == 1, f"mixed: {ours}"
            assert versions.pop() >= floor, "an acknowledged version was not found by a later search"
            counts = {int(text.split(" of ")[1].split(",")[0]) for text in ours}
            assert counts == {len(ours)}, f"part of a document was missing: {ours}"
            searches += 1

    async with asyncio.timeout(180):
        await asyncio.gather(write(), read(), read(), read())
    assert searches > 30


async def test_writers_of_one_document_take_turns(service: IndexService) -> None:
    acknowledged = await asyncio.gather(
        *(service.upsert("handbook", version(number, 1 + number % 3)) for number in range(20))
    )
    assert sorted(one.revision for one in acknowledged) == list(range(1, 21))
    last = max(range(20), key=lambda number: acknowledged[number].revision)
    found = await texts(service, "policy", top_k=20)
    assert {text.rpartition(" ")[2] for text in found} == {f"{last}."}
    assert len(found) == 1 + last % 3
    (status,) = await service.status()
    assert (status.documents, status.passages) == (1, len(found))


async def test_the_same_document_many_times_at_once_is_written_once(service: IndexService) -> None:
    acknowledged = await asyncio.gather(*(service.upsert("handbook", version(7, 2)) for _ in range(10)))
    assert [one.unchanged for one in acknowledged].count(False) == 1
    assert {one.revision for one in acknowledged} == {1}


async def test_many_documents_at_once_are_all_kept(service: IndexService) -> None:
    await asyncio.gather(
        *(service.upsert("handbook", markdown(f"d{n}", f"Number {n} has the code X{n}Y.")) for n in range(60))
    )
    assert (await service.status())[0].documents == 60
    for number in (0, 42, 59):
        assert (await search(service, f"X{number}Y", top_k=1)).passages[0].document_id == f"d{number}"


async def test_deletions_and_upserts_of_one_document_end_in_one_of_the_two(service: IndexService) -> None:
    for _ in range(10):
        await asyncio.gather(
            service.upsert("handbook", version(1, 2)),
            service.delete("handbook", ["policy"]),
            service.upsert("handbook", version(2, 3)),
            service.delete("handbook", ["policy"]),
        )
        (status,) = await service.status()
        found = await texts(service, "policy", top_k=10)
        assert len(found) == status.passages
        assert (status.documents, status.passages) in ((0, 0), (1, 2), (1, 3))


async def test_a_cancelled_upsert_is_whole_or_not_there_and_the_next_one_wins(service: IndexService) -> None:
    await service.upsert("handbook", version(0, 4))
    for number in range(1, 30):
        cancelled = asyncio.create_task(service.upsert("handbook", version(number, 1 + number % 4)))
        await asyncio.sleep(number / 1500)
        cancelled.cancel()
        following = asyncio.create_task(service.upsert("handbook", version(1000 + number, 3)))
        await asyncio.gather(cancelled, return_exceptions=True)
        acknowledged = await following
        found = (await search(service, "policy", top_k=20)).passages
        assert {passage.revision for passage in found} == {acknowledged.revision}
        assert all(f"version {1000 + number}." in passage.text for passage in found)
        assert len(found) == 3


async def test_work_begun_is_finished_and_holds_the_turn() -> None:
    locks = DocumentLocks()
    steps: list[str] = []
    go = asyncio.Event()

    async def work() -> None:
        steps.append("begun")
        await go.wait()
        steps.append("finished")

    async def first() -> None:
        async with locks.hold(A) as held:
            await held.finish(work())

    async def second() -> None:
        async with locks.hold(A):
            steps.append("second")

    one = asyncio.create_task(first())
    await asyncio.sleep(0)
    two = asyncio.create_task(second())
    await asyncio.sleep(0.01)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    async with asyncio.timeout(30), locks.hold(B):
        pass
    assert steps == ["begun"]
    go.set()
    await locks.drain()
    await two
    assert steps == ["begun", "finished", "second"]


async def test_a_turn_is_given_up_by_one_that_fails_or_is_cancelled_while_waiting() -> None:
    locks = DocumentLocks()

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        async with locks.hold(A) as held:
            await held.finish(fail())
    async with locks.hold(A):
        waiting = asyncio.create_task(locks.hold(A).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(30), locks.hold(A):
        pass
