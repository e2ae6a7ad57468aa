"""How many documents each tenant has in the document log, and how large they are."""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass

from trivet.errors import QuotaExceeded
from trivet.types.quota import Quota

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


def usage_of(connection: sqlite3.Connection, tenant: str) -> Usage:
    """What a tenant has."""
    row = connection.execute("SELECT documents, bytes FROM usage WHERE tenant = ?", (tenant,)).fetchone()
    return Usage(0, 0) if row is None else Usage(row["documents"], row["bytes"])


def require_room(connection: sqlite3.Connection, tenant: str, added: Usage, quota: Quota) -> None:
    """Raise QuotaExceeded if a write would take a tenant beyond its quota; one that adds nothing never does."""
    used = usage_of(connection, tenant)
    for subject, has, more, most in (
        ("documents", used.documents, added.documents, quota.max_documents),
        ("bytes of documents", used.bytes, added.bytes, quota.max_bytes),
    ):
        if most is not None and more > 0 and has + more > most:
            raise QuotaExceeded(tenant, subject, has, more, most)


def add_usage(connection: sqlite3.Connection, tenant: str, added: Usage) -> None:
    """Count a write, in its transaction."""
    connection.execute(
        """INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT (tenant)
        DO UPDATE SET documents = documents + excluded.documents, bytes = bytes + excluded.bytes""",
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
