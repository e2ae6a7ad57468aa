"""The rows of claims: each function is a part of one transaction.

An index's row is locked by whoever logs an entry of it, so that entries become visible in the order of their seqs.
"""

from __future__ import annotations

from trivet.errors import RetrievalUnavailable
from trivet.stores.records import DocumentKey
from trivet.stores.shared.database import clock, core_of
from trivet.stores.sql import SqlConnection
from trivet.stores.state import leases
from trivet.stores.write_terms import Conflict, WriteConflict, WriteTerms
from trivet.types.rollout_state import Lease

_FORGOTTEN = 86_400.0  # seconds after its last sign of life


def enter(connection: SqlConnection, index: str) -> None:
    """Lock the index's row. Raises RetrievalUnavailable while its documents are being moved here."""
    _closing(connection, index)


def admit(connection: SqlConnection, index: str, key: DocumentKey, terms: WriteTerms, owner: str) -> None:
    """Lock the index's row and hold the terms of a write against what there is. Raises WriteConflict."""
    if _closing(connection, index):
        raise WriteConflict(Conflict.SWAP)
    _require_live(connection, index, terms.live, terms.changes)
    _require_unclaimed(connection, index, key, owner)
    row = connection.execute(
        "SELECT seq FROM entries WHERE newest AND index_name = ? AND tenant = ? AND document_id = ?", (index, *key)
    ).fetchone()
    if (0 if row is None else row["seq"]) != terms.newest:
        raise WriteConflict(Conflict.NEWER)


def claim(connection: SqlConnection, index: str, key: DocumentKey, live: str, changes: int, owner: str) -> bool:
    """Claim a document, or take an abandoned claim over; whether there was one. Raises WriteConflict."""
    _closing(connection, index)
    _require_live(connection, index, live, changes)
    _require_unclaimed(connection, index, key, owner)
    row = connection.execute(
        "SELECT seq FROM document_write WHERE index_name = ? AND tenant = ? AND document_id = ?", (index, *key)
    ).fetchone()
    put(connection, index, key, owner, 0 if row is None else row["seq"])
    return row is not None


def put(connection: SqlConnection, index: str, key: DocumentKey, owner: str, seq: int) -> None:
    """The document is `owner`'s, whose entry `seq` is to be applied."""
    connection.execute(
        "INSERT INTO document_write (index_name, tenant, document_id, owner, seq) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (index_name, tenant, document_id) DO UPDATE SET owner = excluded.owner, seq = excluded.seq",
        (index, *key, owner, seq),
    )


def release(connection: SqlConnection, index: str, key: DocumentKey, owner: str) -> None:
    """Nothing of the document is open any more. If a crash of the database loses this, it is applied once more."""
    connection.execute("SET LOCAL synchronous_commit = off")
    connection.execute(
        "DELETE FROM document_write WHERE index_name = ? AND tenant = ? AND document_id = ? AND owner = ?",
        (index, *key, owner),
    )


def abandoned(connection: SqlConnection, index: str, owner: str) -> list[DocumentKey]:
    """Claimed documents whose owner is `owner`, or gives no sign of life any more."""
    rows = connection.execute(
        "SELECT tenant, document_id FROM document_write WHERE index_name = ?"
        " AND (owner = ? OR owner NOT IN (SELECT owner FROM document_writer WHERE expires > ?))",
        (index, owner, clock(connection)),
    )
    return [DocumentKey(row["tenant"], row["document_id"]) for row in rows]


def live_on(connection: SqlConnection, owner: str, seconds: float) -> None:
    """A sign of life; those that were not heard of for long are forgotten."""
    at = clock(connection)
    connection.execute(
        "INSERT INTO document_writer (owner, expires) VALUES (?, ?)"
        " ON CONFLICT (owner) DO UPDATE SET expires = excluded.expires",
        (owner, at + seconds),
    )
    connection.execute("DELETE FROM document_writer WHERE expires < ?", (at - _FORGOTTEN,))


def leave(connection: SqlConnection, owner: str) -> None:
    """There will be no more signs of life."""
    connection.execute("DELETE FROM document_writer WHERE owner = ?", (owner,))


def close(connection: SqlConnection, index: str, lease: Lease) -> None:
    """Let nobody log anything of the index until its swap, as long as the lease holds. Raises LeaseLost."""
    _closing(connection, index)
    leases.require_held(core_of(connection), lease)
    connection.execute("UPDATE document_index SET closing = ? WHERE name = ?", (lease.fence, index))


def reopen(connection: SqlConnection, index: str, lease: Lease) -> None:
    """There is no swap."""
    connection.execute("UPDATE document_index SET closing = 0 WHERE name = ? AND closing = ?", (index, lease.fence))


def swapping(connection: SqlConnection, index: str, lease: Lease) -> None:
    """The swap may be made in this transaction, and entries are logged after it. Raises LeaseLost."""
    _closing(connection, index)
    leases.require_held(core_of(connection), lease)
    reopen(connection, index, lease)


def _closing(connection: SqlConnection, index: str) -> bool:
    """Lock the index's row; whether a swap is about to be made, by a gateway that still may."""
    connection.execute("INSERT INTO document_index (name) VALUES (?) ON CONFLICT DO NOTHING", (index,))
    row = connection.execute(
        "SELECT closing, arriving FROM document_index WHERE name = ? FOR UPDATE", (index,)
    ).fetchone()
    if row["arriving"]:
        raise RetrievalUnavailable(f"the documents of index {index!r} are being moved into the shared log")
    if not row["closing"]:
        return False
    held = connection.execute(
        "SELECT 1 AS held FROM lease WHERE name = ? AND fence = ? AND expires > ?",
        (f"index/{index}", row["closing"], clock(connection)),
    ).fetchone()
    return held is not None


def _require_live(connection: SqlConnection, index: str, live: str, changes: int) -> None:
    found = connection.execute(
        "SELECT name, changes FROM snapshots WHERE index_name = ? AND state = 'live'", (index,)
    ).fetchone()
    if found is None or (found["name"], found["changes"]) != (live, changes):
        raise WriteConflict(Conflict.LIVE)


def _require_unclaimed(connection: SqlConnection, index: str, key: DocumentKey, owner: str) -> None:
    """Nobody else who lives has claimed the document."""
    other = connection.execute(
        "SELECT 1 AS found FROM document_write WHERE index_name = ? AND tenant = ? AND document_id = ? AND owner <> ?"
        " AND owner IN (SELECT owner FROM document_writer WHERE expires > ?)",
        (index, *key, owner, clock(connection)),
    ).fetchone()
    if other is not None:
        raise WriteConflict(Conflict.BUSY)
