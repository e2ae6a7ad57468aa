"""Moving a data folder's document log into the database that gateways share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trivet.errors import FailedPrecondition
from trivet.stores.shared.database import SharedDatabase
from trivet.stores.sql import SqlConnection, SqlDatabase

_log = logging.getLogger(__name__)

_AT_ONCE = 100  # entries in one transaction
_ENTRY = (
    "index_name",
    "tenant",
    "document_id",
    "revision",
    "digest",
    "deleted",
    "origin",
    "corpus_digest",
    "format",
    "title",
    "source",
    "tags",
    "valid_from",
    "valid_until",
    "time",
    "fields",
    "newest",
)
_INSERT_ENTRY = """INSERT INTO entries (index_name, tenant, document_id, revision, digest, deleted, origin,
    corpus_digest, format, title, source, tags, valid_from, valid_until, time, fields, newest)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq"""
_FLAGS = ("deleted", "newest")
_SNAPSHOT = ("index_name", "name", "state", "way", "fingerprint", "dimension")
_INSERT_SNAPSHOT = """INSERT INTO snapshots (index_name, name, state, way, fingerprint, dimension, applied, unoptimised,
    changes) VALUES (?, ?, ?, ?, ?, ?, 0, 0, (SELECT 1 + coalesce(max(changes), 0) FROM snapshots))"""


async def take_over(log: SqlDatabase, shared: SharedDatabase, folder: str) -> int:
    """Copy every index of a folder's log into the shared one; how many entries. `set_aside` the file then.

    Revisions and digests stay, so that collections need not be written again; the order stays, under other numbers.
    Killed in between, the next start goes on; meanwhile no gateway serves the index. `folder` names the data folder.
    Raises FailedPrecondition if the shared log has an index of that name that did not come from here.
    """
    names = await log.run(_indexes)
    moved = 0
    for index in names:
        if await shared.run(lambda connection, index=index: _begin(connection, index, folder)):  # type: ignore[misc]
            moved += await _copy(index, log, shared, folder)
    return moved


def set_aside(file: Path) -> Path:
    """Rename a log that was moved, with its companions: a later start finds none."""
    target = file.with_name(file.name + ".moved")
    file.rename(target)
    for ending in ("-wal", "-shm"):
        companion = file.with_name(file.name + ending)
        if companion.exists():
            companion.rename(target.with_name(target.name + ending))
    return target


async def _copy(index: str, log: SqlDatabase, shared: SharedDatabase, folder: str) -> int:
    position, moved = 0, 0
    while rows := await log.run(lambda connection, after=position: _read(connection, index, after)):  # type: ignore[misc]
        await shared.run(lambda connection, some=rows: _write(connection, some))  # type: ignore[misc]
        position, moved = rows[-1]["seq"], moved + len(rows)
    snapshots = await log.run(
        lambda connection: connection.execute(
            "SELECT * FROM snapshots WHERE index_name = ? ORDER BY changes", (index,)
        ).fetchall()
    )
    await shared.run(lambda connection: _finish(connection, index, snapshots))
    _log.warning("index %s: %d entries of the data folder's document log are in the shared one now", index, moved)
    return moved


def _indexes(connection: SqlConnection) -> list[str]:
    query = "SELECT index_name FROM entries UNION SELECT index_name FROM snapshots ORDER BY index_name"
    return [row["index_name"] for row in connection.execute(query)]


def _begin(connection: SqlConnection, index: str, folder: str) -> bool:
    """Whether there is something left to copy."""
    connection.execute("INSERT INTO document_index (name) VALUES (?) ON CONFLICT DO NOTHING", (index,))
    row = connection.execute("SELECT * FROM document_index WHERE name = ? FOR UPDATE", (index,)).fetchone()
    if row["source"] == folder:
        return bool(row["arriving"])
    held = connection.execute(
        "SELECT 1 AS held FROM entries WHERE index_name = ? UNION SELECT 1 FROM snapshots WHERE index_name = ?",
        (index, index),
    ).fetchone()
    if held is not None or row["source"]:
        raise FailedPrecondition(
            f"index {index!r} is in the data folder's document log and in the shared one: they are two indexes of one "
            "name. Give one of them another name, or move documents.sqlite away to go on with the shared one"
        )
    connection.execute("UPDATE document_index SET source = ?, arriving = TRUE WHERE name = ?", (folder, index))
    return True


def _read(connection: SqlConnection, index: str, after: int) -> list[Any]:
    return connection.execute(
        "SELECT entries.*, contents.compressed, contents.bytes FROM entries LEFT JOIN contents USING (seq)"
        " WHERE index_name = ? AND seq > ? ORDER BY seq LIMIT ?",
        (index, after, _AT_ONCE),
    ).fetchall()


def _write(connection: SqlConnection, rows: Sequence[Any]) -> None:
    """What is there already was written before a kill."""
    for row in rows:
        values = [bool(row[name]) if name in _FLAGS else row[name] for name in _ENTRY]
        made = connection.execute(_INSERT_ENTRY, values).fetchone()
        if made is None or row["compressed"] is None:
            continue
        connection.execute(
            "INSERT INTO contents (seq, compressed, bytes) VALUES (?, ?, ?)",
            (made["seq"], row["compressed"], row["bytes"]),
        )


def _finish(connection: SqlConnection, index: str, snapshots: Sequence[Any]) -> None:
    """The index may be served: its snapshots are known, and its tenants' books are made.

    Snapshots are compared with all of the log when they are opened: their positions were in other numbers.
    """
    for row in snapshots:
        connection.execute(_INSERT_SNAPSHOT, [row[name] for name in _SNAPSHOT])
    connection.execute(
        "INSERT INTO usage (tenant, documents, bytes) SELECT tenant, count(*), coalesce(sum(bytes), 0)"
        " FROM entries LEFT JOIN contents USING (seq) WHERE newest AND NOT deleted AND index_name = ? GROUP BY tenant"
        " ON CONFLICT (tenant) DO UPDATE SET documents = usage.documents + excluded.documents,"
        " bytes = usage.bytes + excluded.bytes",
        (index,),
    )
    connection.execute("UPDATE document_index SET arriving = FALSE WHERE name = ?", (index,))
