"""The document log in PostgreSQL: the same log, and what is moved into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stores.postgres_server import PostgresServer
from trivet.errors import FailedPrecondition, QuotaExceeded, RetrievalUnavailable
from trivet.retrieval.service import open_database
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import LogEntry
from trivet.stores.records import DocumentKey, Origin
from trivet.stores.shared import SharedDatabase, set_aside, take_over
from trivet.stores.shared.takeover import _begin, _read, _write
from trivet.stores.snapshot_catalogue import SnapshotCatalogue, SnapshotRecord, SnapshotState
from trivet.stores.sqlite import Database
from trivet.types.budget import Quota, Quotas
from trivet.types.passage import Document, DocumentFormat

pytestmark = pytest.mark.process
KEY = DocumentKey("", "a")


def document(id_: str, text: str, tenant: str = "") -> Document:
    return Document(
        id=id_, content=text.encode(), format=DocumentFormat.TEXT, tenant=tenant, tags=("x",), fields={"n": 7}
    )


def record(name: str, state: SnapshotState = SnapshotState.SUPERSEDED) -> SnapshotRecord:
    return SnapshotRecord("handbook", name, state, {"chunk": 1}, "f", 3)


@pytest.fixture
async def shared(postgres: PostgresServer) -> AsyncIterator[SharedDatabase]:
    database = SharedDatabase.open(postgres.new_database(), None)
    yield database
    database.close()


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Database]:
    """A data folder's, with some history and a live snapshot."""
    database = open_database(tmp_path / "documents.sqlite")
    log, catalogue = DocumentLog(database), SnapshotCatalogue(database)
    for number in range(230):
        await log.append("handbook", document(f"d{number % 40}", f"text {number}"), f"digest{number}", Origin.UPSERT)
    newest = await log.newest("handbook", DocumentKey("", "d7"))
    assert newest is not None
    await log.append_deletion(newest, "")
    await log.append("other", document("a", "else", "acme"), "digest", Origin.CORPUS, "corpus")
    await catalogue.establish(record("old"), "", 1)
    await catalogue.establish(record("new"), "old", 1)
    yield database
    database.close()


async def listed(log: DocumentLog, index: str) -> list[tuple[object, ...]]:
    """All of it but the numbers that differ."""
    told: list[tuple[object, ...]] = []
    for entry in await log.all_newest(index):
        content = await log.content(entry.seq)
        told.append(
            (entry.key, entry.of, entry.deleted, entry.origin, entry.corpus_digest, entry.tags, entry.fields, content)
        )
    return told


async def test_it_is_the_same_log(shared: SharedDatabase) -> None:
    log = DocumentLog(shared)
    first = await log.append("handbook", document("a", "one"), "d1", Origin.UPSERT)
    second = await log.append("handbook", document("a", "two"), "d2", Origin.UPSERT)
    assert (first.revision, second.revision) == (1, 2)
    assert (await log.content(first.seq), await log.content(second.seq)) == (None, b"two")
    assert await log.newest("handbook", KEY) == second
    assert (await log.behind("handbook", first.seq), await log.last()) == (1, second.seq)
    await log.mend_content(second.seq, b"2")
    assert await log.content(second.seq) == b"2"
    gone = await log.append_deletion(second, "c")
    assert (gone.deleted, gone.revision, await log.content(gone.seq)) == (True, 3, None)
    assert await log.corpus_digests("handbook") == {KEY: "c"}
    assert [entry.seq for entry in await log.after("handbook", 0)] == [gone.seq]
    assert await log.indexes() == ["handbook"]


async def test_quotas_count_in_both(shared: SharedDatabase) -> None:
    log = DocumentLog(shared, Quotas(Quota(max_documents=1, max_bytes=5)))
    await log.append("handbook", document("a", "12345", "acme"), "d", Origin.UPSERT)
    for refused in (document("b", "", "acme"), document("a", "123456", "acme")):
        with pytest.raises(QuotaExceeded):
            await log.append("handbook", refused, "e", Origin.UPSERT)
    await log.append("handbook", document("a", "1", "acme"), "f", Origin.UPSERT)


async def test_of_two_first_snapshots_one_is_live(shared: SharedDatabase) -> None:
    catalogue = SnapshotCatalogue(shared)
    assert [await catalogue.establish(record(name), "", 1) for name in ("one", "two")] == ["one", "one"]
    assert [(found.name, found.state) for found in await catalogue.of("handbook")] == [("one", SnapshotState.LIVE)]


async def test_a_folder_s_log_is_moved_whole(shared: SharedDatabase, own: Database, tmp_path: Path) -> None:
    before = {index: await listed(DocumentLog(own), index) for index in ("handbook", "other")}
    assert await take_over(own, shared, "folder") == 232
    assert await take_over(own, shared, "folder") == 0  # killed before the file was renamed
    assert {index: await listed(DocumentLog(shared), index) for index in before} == before
    states = [(found.name, found.state) for found in await SnapshotCatalogue(shared).of("handbook")]
    assert states == [("new", SnapshotState.LIVE), ("old", SnapshotState.RETAINED)]
    full = DocumentLog(shared, Quotas(Quota(max_documents=1)))
    with pytest.raises(QuotaExceeded):  # the books came along
        await full.append("handbook", document("new", "x", "acme"), "d", Origin.UPSERT)
    kept = set_aside(tmp_path / "documents.sqlite")
    assert kept.exists()
    assert not (tmp_path / "documents.sqlite").exists()


async def test_a_move_that_was_killed_goes_on(shared: SharedDatabase, own: Database) -> None:
    before = await listed(DocumentLog(own), "handbook")
    assert await shared.run(lambda connection: _begin(connection, "handbook", "folder"))
    rows = await own.run(lambda connection: _read(connection, "handbook", 0))
    await shared.run(lambda connection: _write(connection, rows))
    with pytest.raises(FailedPrecondition, match="two indexes of one name"):
        await take_over(own, shared, "another folder")
    await take_over(own, shared, "folder")
    assert await listed(DocumentLog(shared), "handbook") == before


async def test_an_index_of_the_same_name_is_not_mixed_in(shared: SharedDatabase, own: Database) -> None:
    log = DocumentLog(shared)
    await log.append("handbook", document("a", "one"), "d1", Origin.UPSERT)
    with pytest.raises(FailedPrecondition, match="'handbook' is in the data folder's document log and in the shared"):
        await take_over(own, shared, "folder")
    entries: list[LogEntry] = await log.all_newest("handbook")
    assert [entry.document_id for entry in entries] == ["a"]


async def test_a_database_that_is_away_says_when_to_try_again() -> None:
    database = SharedDatabase.open("postgresql://trivet:secret@127.0.0.1:1/documents", None)
    with pytest.raises(RetrievalUnavailable, match="the document log is away") as refused:
        await DocumentLog(database).last()
    assert refused.value.retry_after
    assert "secret" not in str(refused.value)
    database.close()
