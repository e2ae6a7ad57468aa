"""What the vector engine has lost comes back from the log, is said, and takes nothing else along."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.recovery.damage import DAMAGE
from tests.support.recovery.index import DOCUMENTS, Opened, segments_of
from tests.support.retrieval.documents import markdown, texts
from trivet.errors import FailedPrecondition, RetrievalUnavailable
from trivet.retrieval.service import IndexService
from trivet.types.passage import BuildProgress

pytestmark = pytest.mark.embedding


async def found(service: IndexService) -> set[str]:
    """The documents that searches find."""
    return set(await texts(service, "colour of a lamp", top_k=20))


def collection(root: Path) -> Path:
    (path,) = (root / "vectors" / "collections").iterdir()
    return path


def segments(path: Path) -> None:
    shutil.rmtree(path / "segments")


def points_forgotten(path: Path) -> None:
    for mappings in path.glob("segments/*/mutable_id_tracker.mappings"):
        mappings.write_bytes(b"")
    shutil.rmtree(path / "wal")


def vectors_gone(path: Path) -> None:
    for chunk in path.glob("segments/*/vector_storage-dense/vectors/chunk_*"):
        chunk.unlink()


def payloads_emptied(path: Path) -> None:
    """It opens, and every read of a point fails."""
    for page in path.glob("segments/*/payload_storage/page_0.dat"):
        page.write_bytes(b"")


def panics(path: Path) -> None:
    for status in path.glob("segments/*/vector_storage-dense/vectors/status.dat"):
        status.write_bytes(b"")


def all_files_emptied(path: Path) -> None:
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("no folder")


@pytest.mark.parametrize(
    "damage",
    [segments, points_forgotten, vectors_gone, payloads_emptied, panics, all_files_emptied, a_file, shutil.rmtree],
)
async def test_a_damaged_collection_is_made_again_from_the_log_by_itself(
    root: Path, opened: Opened, damage: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    damage(collection(root))
    async with opened(root) as service:
        assert await found(service) == set(DOCUMENTS.values())
        (status,) = await service.status()
        assert (status.documents, status.passages) == (6, 6)
        assert not (await service.upsert("handbook", markdown("new", "A new lamp."))).unchanged
    said = "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    in_engine = (root / "logs" / "vector.log").read_text()
    if damage is not shutil.rmtree:  # a folder that is not there leaves nothing to be seen
        assert "lacks 6 documents" in said or "cannot be read" in said or "is set aside" in in_engine


async def test_documents_that_a_collection_has_lost_are_counted_and_written_again(
    root: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(root) as service:
        live = service.indexes["handbook"].live
        for name in ("doc1", "doc2"):
            await forget(live, name, heads=True)
        await forget(live, "doc3", heads=False)
    async with opened(root) as service:
        assert await found(service) == set(DOCUMENTS.values())
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "lacks 2 documents" in said
    assert "1 lacked passages" in said


async def test_what_a_retained_snapshot_has_lost_is_there_again_when_it_serves(
    root: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(root) as service:
        kept = service.indexes["handbook"].live
        async for _ in service.build("handbook", rebuild=True):
            pass
        assert service.indexes["handbook"].live is not kept
        await forget(kept, "doc1", heads=True)
        await forget(kept, "doc3", heads=False)
        status = await service.rollback("handbook")
        assert status.snapshot == kept.name
        assert await found(service) == set(DOCUMENTS.values())
    assert "1 were not there or older than in the log, 1 lacked passages" in caplog.text


async def forget(live: Any, document_id: str, *, heads: bool) -> None:
    """Let the engine lose points of a document, as a damaged segment does."""
    from qdrant_client import models

    only = [] if heads else [models.FieldCondition(key="kind", match=models.MatchValue(value="passage"))]
    chosen = models.Filter(
        must=[models.FieldCondition(key="document_id", match=models.MatchValue(value=document_id)), *only]
    )
    async with live.store._connection.call(10) as client:
        await client.delete(live.collection, models.FilterSelector(filter=chosen))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.1)


async def test_a_collection_that_vanishes_while_serving_is_noticed_and_made_again(
    root: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(root) as service:
        live = service.indexes["handbook"].live
        await live.store.drop(live.collection)

        async def back() -> bool:
            try:
                return await found(service) == set(DOCUMENTS.values())
            except RetrievalUnavailable:  # the route's policy decides meanwhile
                return False

        await until(back)
    assert "its collection is gone; it is made again from the log" in caplog.text


async def test_what_is_lost_while_the_vector_process_restarts_comes_back(root: Path, opened: Opened) -> None:
    async with opened(root) as service:
        live = service.indexes["handbook"].live
        await forget(live, "doc4", heads=False)  # no count of documents shows it
        pid = int((root / "vectors" / "lock").read_text())
        os.kill(pid, signal.SIGKILL)

        async def back() -> bool:
            try:
                return await found(service) == set(DOCUMENTS.values())
            except RetrievalUnavailable:
                return False

        await until(back)
        assert service.indexes["handbook"].repaired == 1


async def test_a_collection_whose_opening_ends_the_process_is_set_aside_at_the_second_time(
    root: Path, opened: Opened
) -> None:
    name = collection(root).name
    for attempt, aside in ((1, False), (2, True)):
        (root / "vectors" / "opening.json").write_text(json.dumps({"name": name, "attempt": attempt}))
        async with opened(root) as service:
            assert await found(service) == set(DOCUMENTS.values())
        kept = root / "vectors" / "set-aside"
        assert kept.exists() == aside
        assert not (root / "vectors" / "opening.json").exists()


async def test_one_damaged_collection_takes_no_other_along(root: Path, opened: Opened) -> None:
    other = collection(root).with_name("other--00000000")
    shutil.copytree(collection(root), other)
    panics(other)
    async with opened(root) as service:
        assert await found(service) == set(DOCUMENTS.values())
        assert service.indexes["handbook"].repaired == 0
    (kept,) = (root / "vectors" / "set-aside").iterdir()
    assert kept.name.startswith("other--00000000.")
    assert (kept / "segments").is_dir(), "its files are kept"


async def test_a_rebuild_makes_a_sound_snapshot_from_the_log(root: Path, opened: Opened) -> None:
    payloads_emptied(collection(root))
    async with opened(root) as service:
        told = [item async for item in service.build("handbook", rebuild=True)]
        stages = [item.stage for item in told if isinstance(item, BuildProgress)]
        assert stages[-1] == "swap"
        assert await found(service) == set(DOCUMENTS.values())


@pytest.mark.parametrize("kind", ["missing", "empty"])
async def test_a_lost_log_beside_vectors_is_refused_with_the_remedy_and_nothing_is_removed(
    root: Path, opened: Opened, kind: str
) -> None:
    before = segments_of(root)
    DAMAGE[kind](root / "documents.sqlite")
    with pytest.raises(FailedPrecondition, match=r"documents\.sqlite is (missing|empty), .*trivet restore"):
        async with opened(root):
            pass
    assert segments_of(root) == before
    (root / "vectors").rename(root / "vectors.old")
    (root / "documents.sqlite").unlink(missing_ok=True)
    async with opened(root) as service:  # what the message says
        assert await found(service) == set()
