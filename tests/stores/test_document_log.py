"""The document log: in order, durable, whole."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from trivet.errors import FailedPrecondition, RetrievalUnavailable
from trivet.stores.document_log import DOCUMENT_LOG_SCHEMA, DocumentLog
from trivet.stores.records import DocumentKey, Origin
from trivet.stores.snapshot_catalogue import (
    SNAPSHOT_CATALOGUE_SCHEMA,
    SnapshotCatalogue,
    SnapshotRecord,
    SnapshotState,
)
from trivet.stores.sqlite import Database
from trivet.types.passage import Document, DocumentFormat

SCHEMA = (*DOCUMENT_LOG_SCHEMA, *SNAPSHOT_CATALOGUE_SCHEMA)


def document(document_id: str, text: str, tenant: str = "") -> Document:
    return Document(
        document_id,
        text.encode(),
        DocumentFormat.MARKDOWN,
        title="Title",
        source="a.md",
        tags=("b", "a"),
        tenant=tenant,
        valid_until=5.5,
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(tmp_path / "log.sqlite", 1, SCHEMA)
    yield database
    database.close()


@pytest.fixture
def log(database: Database) -> DocumentLog:
    return DocumentLog(database)


async def test_entries_are_in_order_and_the_newest_content_is_kept(log: DocumentLog) -> None:
    first = await log.append("i", document("a", "one"), "d1", Origin.UPSERT)
    other = await log.append("i", document("a", "of acme", "acme"), "d2", Origin.UPSERT)
    second = await log.append("i", document("a", "two"), "d3", Origin.CORPUS, "d3")
    elsewhere = await log.append("j", document("a", "three"), "d4", Origin.UPSERT)
    assert [entry.revision for entry in (first, other, second, elsewhere)] == [1, 1, 2, 1]
    assert first.seq < other.seq < second.seq < elsewhere.seq == await log.last()
    assert await log.newest("i", DocumentKey("", "a")) == second
    assert [await log.content(entry.seq) for entry in (first, other, second)] == [None, b"of acme", b"two"]
    assert second.document(b"two") == replace(document("a", "two"), tags=("a", "b"))
    assert await log.after("i", 0) == [other, second]
    assert await log.after("i", other.seq) == [second]
    assert await log.after("i", 0, 1) == [other]
    assert await log.behind("i", other.seq) == 1
    assert await log.newest("i", DocumentKey("", "b")) is None


async def test_a_deletion_is_an_entry_and_revisions_go_on_after_it(log: DocumentLog) -> None:
    first = await log.append("i", document("a", "one"), "d1", Origin.CORPUS, "d1")
    gone = await log.append_deletion(first, "d1")
    assert (gone.revision, gone.deleted, gone.digest, gone.corpus_digest) == (2, True, "d1", "d1")
    assert await log.content(first.seq) is None
    assert await log.content(gone.seq) is None
    assert await log.all_newest("i") == [gone]
    back = await log.append("i", document("a", "one"), "d1", Origin.UPSERT)
    assert (back.revision, back.deleted) == (3, False)


async def test_of_a_document_that_is_replaced_often_only_the_last_entries_stay(
    log: DocumentLog, database: Database
) -> None:
    other = await log.append("i", document("b", "another's"), "d0", Origin.UPSERT)
    for number in range(1, 31):
        newest = await log.append("i", document("a", f"text {number}"), f"d{number}", Origin.UPSERT)
        if number % 7 == 0:
            newest = await log.append_deletion(newest, "")
    kept = await database.run(
        lambda connection: [tuple(row) for row in connection.execute("SELECT document_id, revision FROM entries")]
    )
    assert newest.revision == 34
    assert sorted(kept) == [*(("a", revision) for revision in range(25, 35)), ("b", 1)]
    assert await log.all_newest("i") == [other, newest]
    assert await log.content(newest.seq) == b"text 30"
    assert await log.last() == newest.seq


async def test_what_is_noted_of_the_corpus_is_no_new_entry(log: DocumentLog) -> None:
    entry = await log.append("i", document("a", "one"), "d1", Origin.UPSERT)
    await log.note_corpus(entry.seq, Origin.CORPUS, "d1")
    assert await log.all_newest("i") == [replace(entry, origin=Origin.CORPUS, corpus_digest="d1")]


async def test_another_version_or_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    Database.open(path, 1, SCHEMA).close()
    with pytest.raises(FailedPrecondition, match="schema version 1, this version of Trivet reads 2"):
        Database.open(path, 2, SCHEMA)
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(FailedPrecondition, match="cannot be opened"):
        Database.open(path, 1, SCHEMA)
    foreign = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    with pytest.raises(FailedPrecondition, match="schema version 0"):
        Database.open(foreign, 1, SCHEMA)


async def test_work_that_fails_changes_nothing(log: DocumentLog, database: Database) -> None:
    await log.append("i", document("a", "one"), "d1", Origin.UPSERT)

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM entries")
        raise ValueError

    with pytest.raises(ValueError):
        await database.run(half)
    assert len(await log.all_newest("i")) == 1


async def test_a_full_disk_is_an_error_and_nothing_is_half_there(log: DocumentLog, database: Database) -> None:
    pages = await database.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await database.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages + 1}"))
    large = replace(document("a", ""), content=random.Random(1).randbytes(100_000))
    with pytest.raises(RetrievalUnavailable, match=r"log\.sqlite cannot be written.*full"):
        await log.append("i", large, "d1", Origin.UPSERT)
    assert await log.all_newest("i") == []
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
    assert (await log.append("i", large, "d1", Origin.UPSERT)).revision == 1


WRITER = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from trivet.stores.document_log import DOCUMENT_LOG_SCHEMA, DocumentLog
    from trivet.stores.records import Origin
    from trivet.stores.snapshot_catalogue import SNAPSHOT_CATALOGUE_SCHEMA
    from trivet.stores.sqlite import Database
    from trivet.types.passage import Document, DocumentFormat

    async def main() -> None:
        log = DocumentLog(Database.open(Path(sys.argv[1]), 1, (*DOCUMENT_LOG_SCHEMA, *SNAPSHOT_CATALOGUE_SCHEMA)))
        number = 0
        while True:
            number += 1
            text = f"content {number} " * 2000
            document = Document(f"d{number % 3}", text.encode(), DocumentFormat.TEXT)
            entry = await log.append("i", document, f"digest {number}", Origin.UPSERT)
            print(entry.seq, entry.document_id, entry.revision, number, flush=True)

    asyncio.run(main())
    """
)


@pytest.mark.process
async def test_what_was_acknowledged_survives_a_kill_of_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    newest: dict[str, tuple[int, int]] = {}
    for acknowledgements in (5, 12, 30):
        writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), stdout=subprocess.PIPE)
        assert writer.stdout is not None
        lines = [await writer.stdout.readline() for _ in range(acknowledgements)]
        writer.send_signal(signal.SIGKILL)
        lines += (await writer.stdout.read()).splitlines(keepends=True)
        await writer.wait()
        for line in lines:
            if line.endswith(b"\n"):
                fields = line.decode().split()
                newest[fields[1]] = (int(fields[2]), int(fields[3]))
        database = Database.open(path, 1, SCHEMA)
        log = DocumentLog(database)
        entries = await log.all_newest("i")
        seqs = [entry.seq for entry in entries]
        assert seqs == sorted(seqs)
        for entry in entries:
            revision, number = newest[entry.document_id]
            assert entry.revision in (revision, revision + 1), "one more may have been written and not acknowledged"
            content = await log.content(entry.seq)
            assert content is not None
            assert content.startswith(f"content {entry.digest.split()[1]} ".encode()), "an entry without its content"
            if entry.revision == revision:
                assert entry.digest == f"digest {number}"
        database.close()


def record(name: str, state: SnapshotState) -> SnapshotRecord:
    return SnapshotRecord("i", name, state, {"chunk_tokens": 60}, "f" * 64, 384)


async def test_a_swap_keeps_the_last_ones(database: Database) -> None:
    catalogue = SnapshotCatalogue(database)
    await catalogue.add(record("a", SnapshotState.LIVE))
    for name in ("b", "c", "d"):
        await catalogue.add(record(name, SnapshotState.BUILDING))
        await catalogue.swap("i", name, retain=1)
    states = {one.name: one.state for one in await catalogue.of("i")}
    assert states == {
        "d": SnapshotState.LIVE,
        "c": SnapshotState.RETAINED,
        "b": SnapshotState.SUPERSEDED,
        "a": SnapshotState.SUPERSEDED,
    }
    await catalogue.note("i", "c", applied=7, unoptimised=3)
    (kept,) = [one for one in await catalogue.of("i") if one.name == "c"]
    assert kept == replace(record("c", SnapshotState.RETAINED), applied=7, unoptimised=3)
    await catalogue.remove("i", "a")
    assert {one.name for one in await catalogue.of("i")} == {"b", "c", "d"}
