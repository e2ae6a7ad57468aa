"""The document log: what every index is made from."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Sequence

from trivet.errors import DocumentDamaged
from trivet.stores.document_usage import DOCUMENT_USAGE_SCHEMA, Usage, add_usage, require_room
from trivet.stores.log_entry import LogEntry, damaged, entry_of
from trivet.stores.records import DocumentKey, Origin
from trivet.stores.sql import SqlConnection, SqlDatabase
from trivet.stores.write_terms import NO_TERMS, Admit, WriteTerms, admit_all
from trivet.types.budget import NO_BOUNDS, NO_QUOTAS, Quotas
from trivet.types.passage import Document

DOCUMENT_LOG_SCHEMA = (
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        index_name TEXT NOT NULL,
        tenant TEXT NOT NULL,
        document_id TEXT NOT NULL,
        revision INTEGER NOT NULL,
        digest TEXT NOT NULL,
        deleted INTEGER NOT NULL,
        origin TEXT NOT NULL,
        corpus_digest TEXT NOT NULL,
        format TEXT NOT NULL,
        title TEXT NOT NULL,
        source TEXT NOT NULL,
        tags TEXT NOT NULL,
        valid_from REAL,
        valid_until REAL,
        time REAL NOT NULL,
        newest INTEGER NOT NULL,
        fields TEXT NOT NULL DEFAULT '{}',
        UNIQUE (index_name, tenant, document_id, revision)
    ) STRICT""",
    "CREATE UNIQUE INDEX newest_of_document ON entries (index_name, tenant, document_id) WHERE newest",
    "CREATE INDEX newest_in_order ON entries (index_name, seq) WHERE newest",
    """CREATE TABLE contents (
        seq INTEGER PRIMARY KEY REFERENCES entries,
        compressed BLOB NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    *DOCUMENT_USAGE_SCHEMA,
)
_PAGE = 500
_LARGE_PAGE = 10_000
_PUT_CONTENT = (
    "INSERT INTO contents (seq, compressed, bytes) VALUES (?, ?, ?)"
    " ON CONFLICT (seq) DO UPDATE SET compressed = excluded.compressed, bytes = excluded.bytes"
)
_KEPT = 10  # entries of a document, the newest one included: for people who want to know what happened to it
_COMPRESSION = 1  # zlib's fastest: the writer waits for it


class DocumentLog:
    """Every upsert and deletion, in order, durable when `append` returns, also against `kill -9` and a power cut.

    The content of each document's newest revision is kept, compressed; of older ones only the entry, of the last few.
    A deletion is kept for ever: the document's revisions have to go on growing if it comes back. In a file it has one
    gateway, whose writers of a document take turns before they come here; in PostgreSQL it has several, and `admit`
    lets those write whose terms still hold.
    """

    def __init__(self, database: SqlDatabase, quotas: Quotas = NO_QUOTAS, admit: Admit = admit_all) -> None:
        """`admit` looks at the terms of each write, in its transaction."""
        self._database = database
        self._quotas = quotas
        self._admit = admit

    async def require_room(self, index: str, document: Document) -> None:
        """Raise QuotaExceeded if `append` would now: before a document is embedded for nothing."""
        quota = self._quotas.of(document.tenant)
        if quota == NO_BOUNDS:
            return

        def check(connection: SqlConnection) -> None:
            key = DocumentKey(document.tenant, document.id)
            added = _added(connection, index, key, 1, len(document.content))
            require_room(connection, key.tenant, added, quota)

        await self._database.run(check)

    async def append(
        self,
        index: str,
        document: Document,
        digest: str,
        origin: Origin,
        corpus_digest: str = "",
        terms: WriteTerms = NO_TERMS,
    ) -> LogEntry:
        """Log an upsert under the document's next revision.

        Raises QuotaExceeded, and WriteConflict where `terms` do not hold any more.
        """
        about = (
            digest,
            False,
            origin.value,
            corpus_digest,
            document.format.value,
            document.title,
            document.source,
            json.dumps(sorted(set(document.tags))),
            document.valid_from,
            document.valid_until,
            time.time(),
            json.dumps(dict(document.fields)),
        )
        key = DocumentKey(document.tenant, document.id)

        def write(connection: SqlConnection) -> LogEntry:
            self._admit(connection, index, key, terms)
            added = _added(connection, index, key, 1, len(document.content))
            add_usage(connection, key.tenant, added)  # first: its row is locked, where others write, too
            require_room(connection, key.tenant, added, self._quotas.of(key.tenant), counted=True)
            entry = _append(connection, index, key, about)
            terms.logged(connection, index, key, entry.seq)
            compressed = zlib.compress(document.content, _COMPRESSION)
            connection.execute("INSERT INTO contents VALUES (?, ?, ?)", (entry.seq, compressed, len(document.content)))
            return entry

        return await self._database.run(write)

    async def append_deletion(self, newest: LogEntry, corpus_digest: str, terms: WriteTerms = NO_TERMS) -> LogEntry:
        """Log that the document whose newest entry this is was deleted; raises WriteConflict as `append`."""
        about = (
            newest.digest,
            True,
            newest.origin.value,
            corpus_digest,
            newest.format.value,
            newest.title,
            newest.source,
            json.dumps(newest.tags),
            newest.valid_from,
            newest.valid_until,
            time.time(),
            json.dumps(dict(newest.fields)),
        )

        def write(connection: SqlConnection) -> LogEntry:
            self._admit(connection, newest.index, newest.key, terms)
            add_usage(connection, newest.tenant, _added(connection, newest.index, newest.key, 0, 0))
            entry = _append(connection, newest.index, newest.key, about)
            terms.logged(connection, newest.index, newest.key, entry.seq)
            return entry

        return await self._database.run(write)

    async def note_corpus(self, seq: int, origin: Origin, corpus_digest: str) -> None:
        """Remember of an entry what the corpus folder has of its document; its content stays."""
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE entries SET origin = ?, corpus_digest = ? WHERE seq = ?", (origin.value, corpus_digest, seq)
            )
        )

    async def newest(self, index: str, key: DocumentKey) -> LogEntry | None:
        """The newest entry of a document, a deletion too."""
        found = await self._read(
            "SELECT * FROM entries WHERE newest AND index_name = ? AND tenant = ? AND document_id = ?",
            (index, key.tenant, key.id),
        )
        return found[0] if found else None

    async def after(self, index: str, seq: int, limit: int = _PAGE) -> list[LogEntry]:
        """The newest entries of an index's documents beyond `seq`, in order; the first `limit`."""
        return await self._read(
            "SELECT * FROM entries WHERE newest AND index_name = ? AND seq > ? ORDER BY seq LIMIT ?",
            (index, seq, limit),
        )

    async def all_newest(self, index: str) -> list[LogEntry]:
        """The newest entry of every document of an index, deletions too, in order."""
        found: list[LogEntry] = []
        while page := await self.after(index, found[-1].seq if found else 0, _LARGE_PAGE):
            found += page
        return found

    async def corpus_digests(self, index: str) -> dict[DocumentKey, str]:
        """What the corpus folder had of each document that came from it when it was last taken over."""

        def read(connection: SqlConnection) -> dict[DocumentKey, str]:
            query = (
                "SELECT tenant, document_id, corpus_digest FROM entries "
                "WHERE newest AND index_name = ? AND corpus_digest <> '' ORDER BY seq"
            )
            rows = connection.execute(query, (index,))
            return {DocumentKey(row["tenant"], row["document_id"]): row["corpus_digest"] for row in rows}

        return await self._database.run(read)

    async def content(self, seq: int) -> bytes | None:
        """The content of an entry; None if it is a deletion or a newer one has replaced it.

        Raises DocumentDamaged if it does not decompress, or is missing.
        """

        def read(connection: SqlConnection) -> tuple[LogEntry | None, bytes | None]:
            # In one statement: between two, another gateway's newer entry may take the content away.
            query = (
                "SELECT entries.*, contents.compressed FROM entries LEFT JOIN contents ON contents.seq = entries.seq "
                "WHERE entries.newest AND entries.seq = ?"
            )
            row = connection.execute(query, (seq,)).fetchone()
            return (None, None) if row is None else (entry_of(row), row["compressed"])

        entry, compressed = await self._database.run(read)
        if entry is None or entry.deleted:
            return None
        if compressed is None:
            raise DocumentDamaged(damaged(entry, "it is missing"))
        try:
            return zlib.decompress(compressed)
        except zlib.error as error:
            raise DocumentDamaged(damaged(entry, "it does not decompress")) from error

    async def mend_content(self, seq: int, content: bytes) -> None:
        """Put the content of an entry back, as it was acknowledged."""
        compressed = zlib.compress(content, _COMPRESSION)
        await self._database.run(lambda connection: connection.execute(_PUT_CONTENT, (seq, compressed, len(content))))

    async def indexes(self) -> list[str]:
        """Names of the indexes that it has documents of."""
        query = "SELECT DISTINCT index_name FROM entries ORDER BY index_name"
        return await self._database.run(
            lambda connection: [str(row["index_name"]) for row in connection.execute(query)]
        )

    async def behind(self, index: str, seq: int) -> int:
        """How many documents have an entry beyond `seq`."""

        def read(connection: SqlConnection) -> int:
            query = "SELECT count(*) AS documents FROM entries WHERE newest AND index_name = ? AND seq > ?"
            return int(connection.execute(query, (index, seq)).fetchone()["documents"])

        return await self._database.run(read)

    async def last(self) -> int:
        """The highest seq of the log, 0 if it is empty."""
        return await self._database.run(
            lambda connection: int(
                connection.execute("SELECT coalesce(max(seq), 0) AS seq FROM entries").fetchone()["seq"]
            )
        )

    async def _read(self, query: str, values: Sequence[object]) -> list[LogEntry]:
        def read(connection: SqlConnection) -> list[LogEntry]:
            return [entry_of(row) for row in connection.execute(query, tuple(values))]

        return await self._database.run(read)


def _added(connection: SqlConnection, index: str, key: DocumentKey, documents: int, size: int) -> Usage:
    """What a write adds: so many documents of that many bytes, less what the document has now."""
    row = connection.execute(
        """SELECT coalesce(bytes, 0) AS bytes FROM entries LEFT JOIN contents USING (seq)
        WHERE newest AND NOT deleted AND index_name = ? AND tenant = ? AND document_id = ?""",
        (index, key.tenant, key.id),
    ).fetchone()
    return Usage(documents, size) if row is None else Usage(documents - 1, size - row["bytes"])


def _append(connection: SqlConnection, index: str, key: DocumentKey, about: Sequence[object]) -> LogEntry:
    """Write the entry as the document's newest, drop the content of the one before and entries that are too old."""
    of_document = (index, key.tenant, key.id)
    before = connection.execute(
        "SELECT seq, revision FROM entries WHERE newest AND index_name = ? AND tenant = ? AND document_id = ?",
        of_document,
    ).fetchone()
    if before is not None:
        connection.execute("UPDATE entries SET newest = FALSE WHERE seq = ?", (before["seq"],))
        connection.execute("DELETE FROM contents WHERE seq = ?", (before["seq"],))
    revision = 1 if before is None else before["revision"] + 1
    connection.execute(
        "DELETE FROM entries WHERE index_name = ? AND tenant = ? AND document_id = ? AND revision <= ?",
        (*of_document, revision - _KEPT),
    )
    row = connection.execute(
        """INSERT INTO entries (index_name, tenant, document_id, revision, digest, deleted, origin, corpus_digest,
        format, title, source, tags, valid_from, valid_until, time, fields, newest)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, TRUE) RETURNING *""",
        (*of_document, revision, *about),
    ).fetchone()
    return entry_of(row)


def add_fields(connection: sqlite3.Connection) -> None:
    """Let a log that was written before documents had fields have them: its schema version 2 becomes 3."""
    connection.execute("ALTER TABLE entries ADD COLUMN fields TEXT NOT NULL DEFAULT '{}'")
