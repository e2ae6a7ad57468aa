"""What operators asked for: the adapters that are to be loaded whatever the routes say, and with which bytes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trivet.errors import RetrievalUnavailable, StateUnavailable
from trivet.stores.sqlite import Database, ResultT
from trivet.types.variant import VersionRef

DESIRED_ADAPTERS_VERSION = 1
_SCHEMA = (
    """CREATE TABLE adapter_wishes (
        backend TEXT NOT NULL,
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        digest TEXT NOT NULL,
        recorded REAL NOT NULL,
        PRIMARY KEY (backend, name, version)
    ) STRICT""",
)


@dataclass(frozen=True, slots=True)
class DesiredAdapter:
    """An adapter that an operator asked for. `digest`: SHA-256 of the bytes that were acknowledged, 64 hex digits."""

    ref: VersionRef
    digest: str


class DesiredAdapters:
    """What operators asked for on each backend. Every call is one transaction: after `kill -9` a row is there whole
    or not at all.

    The owner of the data folder's lock is the only writer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path) -> DesiredAdapters:
        """Open the file, made if it is not there; blocks. Raises FailedPrecondition if it cannot be read."""
        return cls(Database.open(path, DESIRED_ADAPTERS_VERSION, _SCHEMA))

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._database.close()

    async def all(self, backend: str) -> list[DesiredAdapter]:
        """A backend's desired adapters, those recorded last first. Raises StateUnavailable."""

        statement = "SELECT * FROM adapter_wishes WHERE backend = ? ORDER BY recorded DESC, name, version"

        def read(connection: sqlite3.Connection) -> list[DesiredAdapter]:
            rows = connection.execute(statement, (backend,))
            return [DesiredAdapter(VersionRef(row["name"], row["version"]), row["digest"]) for row in rows]

        return await self._run(read)

    async def record(self, backend: str, adapter: DesiredAdapter) -> None:
        """On the disk when this returns; one that was there has these bytes now. Raises StateUnavailable."""
        row = (backend, adapter.ref.name, adapter.ref.version, adapter.digest, time.time())
        await self._change("REPLACE INTO adapter_wishes VALUES (?, ?, ?, ?, ?)", row)

    async def withdraw(self, backend: str, ref: VersionRef) -> None:
        """Gone from the disk when this returns; fine if there was none. Raises StateUnavailable."""
        statement = "DELETE FROM adapter_wishes WHERE backend = ? AND name = ? AND version = ?"
        await self._change(statement, (backend, ref.name, ref.version))

    async def _change(self, statement: str, values: tuple[str | float, ...]) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute(statement, values)

        await self._run(write)

    async def _run(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        try:
            return await self._database.run(work)
        except RetrievalUnavailable as error:  # it is the adapters' file that cannot be written
            raise StateUnavailable(str(error)) from error
