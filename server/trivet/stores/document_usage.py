"""How many documents each tenant has in the document log, how large they are, and how often they change."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import QuotaExceeded
from trivet.stores.sql import SqlConnection
from trivet.types.budget import Quota

DOCUMENT_USAGE_SCHEMA = (
    """CREATE TABLE usage (
        tenant TEXT PRIMARY KEY,
        documents INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT""",
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one tenant, over all indexes, or what a write adds to it. `bytes` as the documents were given."""

    documents: int
    bytes: int


def usage_of(connection: SqlConnection, tenant: str) -> Usage:
    """What a tenant has."""
    row = connection.execute("SELECT documents, bytes FROM usage WHERE tenant = ?", (tenant,)).fetchone()
    return Usage(0, 0) if row is None else Usage(row["documents"], row["bytes"])


def require_room(connection: SqlConnection, tenant: str, added: Usage, quota: Quota, *, counted: bool = False) -> None:
    """Raise QuotaExceeded if a write would take a tenant beyond its quota; one that adds nothing never does.

    `counted`: it is in the books already, in this transaction.
    """
    used = usage_of(connection, tenant)
    if counted:
        used = Usage(used.documents - added.documents, used.bytes - added.bytes)
    for subject, has, more, most in (
        ("documents", used.documents, added.documents, quota.max_documents),
        ("bytes of documents", used.bytes, added.bytes, quota.max_bytes),
    ):
        if most is not None and more > 0 and has + more > most:
            raise QuotaExceeded(tenant, subject, has, more, most)


def add_usage(connection: SqlConnection, tenant: str, added: Usage) -> None:
    """Count a write, in its transaction."""
    connection.execute(
        """INSERT INTO usage (tenant, documents, bytes) VALUES (?, ?, ?) ON CONFLICT (tenant)
        DO UPDATE SET documents = usage.documents + excluded.documents, bytes = usage.bytes + excluded.bytes""",
        (tenant, added.documents, added.bytes),
    )


def count_usage(connection: sqlite3.Connection) -> None:
    """Make the books of a log that was written without them: its schema version 1 becomes 2."""
    connection.create_function("decompressed_length", 1, _decompressed_length)
    connection.execute("ALTER TABLE contents ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE contents SET bytes = decompressed_length(compressed)")
    for statement in DOCUMENT_USAGE_SCHEMA:
        connection.execute(statement)
    connection.execute(
        """INSERT INTO usage SELECT tenant, count(*), ifnull(sum(bytes), 0)
        FROM entries LEFT JOIN contents USING (seq) WHERE newest AND NOT deleted GROUP BY tenant"""
    )


def _decompressed_length(compressed: bytes) -> int:
    """0 for a content that is damaged: others are counted all the same."""
    try:
        return len(zlib.decompress(compressed))
    except zlib.error:
        return 0


def changes_since(path: Path, index: str, since: float) -> tuple[int, float] | None:
    """How many revisions and deletions of documents that were there before an index has seen since then, and when its
    log began (seconds since 1970), by this file; None without a log of the index. A server may be writing it.

    Of each document the last few entries are known, so that it may have been more.
    """
    if not path.is_file():
        return None
    query = (
        "SELECT count(*) FILTER (WHERE time >= ? AND (revision > 1 OR deleted)), min(time)"
        " FROM entries WHERE index_name = ?"
    )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            changes, began = database.execute(query, (since, index)).fetchone()
    except sqlite3.Error:  # another version's, or damaged: it is for the server to say so
        return None
    return None if began is None else (int(changes), float(began))
