"""Which snapshots each index has, and which of them is live."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trivet.errors import NotFound
from trivet.stores.sql import SqlConnection, SqlDatabase

SNAPSHOT_CATALOGUE_SCHEMA = (
    """CREATE TABLE snapshots (
        index_name TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        way TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        dimension INTEGER NOT NULL,
        applied INTEGER NOT NULL DEFAULT 0,
        unoptimised INTEGER NOT NULL DEFAULT 0,
        changes INTEGER NOT NULL,
        PRIMARY KEY (index_name, name)
    ) STRICT""",
    "CREATE UNIQUE INDEX one_live ON snapshots (index_name) WHERE state = 'live'",
    "CREATE UNIQUE INDEX one_building ON snapshots (index_name) WHERE state = 'building'",
)
Guard = Callable[[SqlConnection], None]
_IN_STATE = "SELECT name FROM snapshots WHERE index_name = ? AND state = ? ORDER BY changes DESC"


def unguarded(_connection: SqlConnection) -> None:
    """One gateway has the catalogue."""


class SnapshotState(Enum):
    """What a snapshot is there for: being made, serving, being kept for a rollback, being removed."""

    BUILDING = "building"
    LIVE = "live"
    RETAINED = "retained"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """One snapshot. `way`: the settings that it was chunked and embedded with. `fingerprint`: of the embedding model.

    Everything in the log up to the seq `applied` is in it. `unoptimised`: how many points have been written to it since
    it was optimised. `changes` is greater than that of any snapshot whose state changed earlier.
    """

    index: str
    name: str
    state: SnapshotState
    way: Mapping[str, Any] = field(hash=False)
    fingerprint: str
    dimension: int
    applied: int = 0
    unoptimised: int = 0
    changes: int = field(default=0, compare=False)

    @property
    def collection(self) -> str:
        """The name of its collection."""
        return f"{self.index}--{self.name}"


class SnapshotCatalogue:
    """The snapshots of all indexes. An index has one live snapshot at most, and builds one at a time."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def of(self, index: str) -> list[SnapshotRecord]:
        """An index's snapshots, the ones whose state changed last first."""

        def read(connection: SqlConnection) -> list[SnapshotRecord]:
            rows = connection.execute("SELECT * FROM snapshots WHERE index_name = ? ORDER BY changes DESC", (index,))
            return [_record(row) for row in rows]

        return await self._database.run(read)

    async def indexes(self) -> list[str]:
        """Names of the indexes that have snapshots."""
        query = "SELECT DISTINCT index_name FROM snapshots ORDER BY index_name"
        return await self._database.run(
            lambda connection: [str(row["index_name"]) for row in connection.execute(query)]
        )

    async def add(self, record: SnapshotRecord) -> None:
        """A new one."""
        await self._database.run(lambda connection: _add(connection, record))

    async def establish(self, record: SnapshotRecord, instead_of: str, retain: int, before: Guard = unguarded) -> str:
        """Make a new snapshot live, unless another one than `instead_of` is; the name of the live one.

        Of gateways that come together, one makes it. `before` runs first, in the transaction.
        """

        def write(connection: SqlConnection) -> str:
            before(connection)
            live = connection.execute(_IN_STATE, (record.index, SnapshotState.LIVE.value)).fetchone()
            if live is not None and live["name"] != instead_of:
                return str(live["name"])
            _add(connection, record)
            _swap(connection, record.index, record.name, retain, keep=True)
            return record.name

        return await self._database.run(write)

    async def note(self, index: str, name: str, *, applied: int, unoptimised: int) -> None:
        """How far a snapshot has followed the log."""
        await self._database.run(
            lambda connection: connection.execute(
                "UPDATE snapshots SET applied = ?, unoptimised = ? WHERE index_name = ? AND name = ?",
                (applied, unoptimised, index, name),
            )
        )

    async def swap(
        self, index: str, name: str, retain: int, *, keep: bool = True, before: Guard = unguarded
    ) -> SnapshotRecord:
        """Make a snapshot the live one, in one transaction; `keep` the one that was live for a rollback.

        Of those kept, the `retain` that were live last stay, the others are superseded. `before` runs first, in the
        transaction. Raises NotFound.
        """

        def write(connection: SqlConnection) -> SnapshotRecord:
            before(connection)
            return _swap(connection, index, name, retain, keep=keep)

        return await self._database.run(write)

    async def remove(self, index: str, name: str) -> None:
        """It is gone."""
        await self._database.run(
            lambda connection: connection.execute(
                "DELETE FROM snapshots WHERE index_name = ? AND name = ?", (index, name)
            )
        )


def _add(connection: SqlConnection, record: SnapshotRecord) -> None:
    connection.execute(
        "INSERT INTO snapshots (index_name, name, state, way, fingerprint, dimension, applied, unoptimised, changes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, (SELECT 1 + coalesce(max(changes), 0) FROM snapshots))",
        (
            record.index,
            record.name,
            record.state.value,
            json.dumps(dict(record.way), sort_keys=True),
            record.fingerprint,
            record.dimension,
            record.applied,
            record.unoptimised,
        ),
    )


def _swap(connection: SqlConnection, index: str, name: str, retain: int, *, keep: bool) -> SnapshotRecord:
    for row in connection.execute(_IN_STATE, (index, SnapshotState.LIVE.value)).fetchall():
        _set_state(connection, index, SnapshotState.RETAINED if keep else SnapshotState.SUPERSEDED, row["name"])
    if not _set_state(connection, index, SnapshotState.LIVE, name):
        raise NotFound(f"index {index!r} has no snapshot {name!r}")
    kept = connection.execute(_IN_STATE, (index, SnapshotState.RETAINED.value)).fetchall()
    for row in kept[retain:]:
        _set_state(connection, index, SnapshotState.SUPERSEDED, row["name"])
    return _record(
        connection.execute("SELECT * FROM snapshots WHERE index_name = ? AND name = ?", (index, name)).fetchone()
    )


def _set_state(connection: SqlConnection, index: str, state: SnapshotState, name: str) -> int:
    return connection.execute(
        "UPDATE snapshots SET state = ?, changes = (SELECT 1 + max(changes) FROM snapshots)"
        " WHERE index_name = ? AND name = ?",
        (state.value, index, name),
    ).rowcount


def _record(row: Any) -> SnapshotRecord:
    return SnapshotRecord(
        index=row["index_name"],
        name=row["name"],
        state=SnapshotState(row["state"]),
        way=json.loads(row["way"]),
        fingerprint=row["fingerprint"],
        dimension=row["dimension"],
        applied=row["applied"],
        unoptimised=row["unoptimised"],
        changes=row["changes"],
    )
