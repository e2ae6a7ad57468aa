"""Which bytes an adapter had when a request first chose it: they are its bytes from then on, also after a restart."""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict
from pathlib import Path

from trivet.errors import RetrievalUnavailable, StateUnavailable
from trivet.stores.sqlite import Database
from trivet.types.variant import VersionRef

VERSION = 1
MOST = 10_000
_SCHEMA = ("CREATE TABLE pins (adapter TEXT PRIMARY KEY, digest TEXT NOT NULL, pinned_at REAL NOT NULL)",)


class AdapterPins:
    """Read whole at the start; a change is on the disk when it returns. All calls come from one event loop.

    The last `most` are remembered.
    """

    def __init__(self, database: Database, digests: OrderedDict[VersionRef, str], most: int) -> None:
        self._database = database
        self._digests = digests
        self._most = most

    @classmethod
    async def open(cls, path: Path, most: int = MOST) -> AdapterPins:
        """Raises FailedPrecondition for a file that is no database or of another version, StateUnavailable."""
        database = Database.open(path, VERSION, _SCHEMA)
        try:
            rows = await database.run(
                lambda connection: connection.execute("SELECT adapter, digest FROM pins ORDER BY pinned_at").fetchall()
            )
        except RetrievalUnavailable as problem:
            database.close()
            raise StateUnavailable(str(problem)) from problem
        return cls(database, OrderedDict((VersionRef.parse(row["adapter"]), row["digest"]) for row in rows), most)

    def get(self, ref: VersionRef) -> str | None:
        """SHA-256, 64 hex digits; None for one that no request has chosen yet."""
        return self._digests.get(ref)

    def all(self) -> list[tuple[VersionRef, str]]:
        """Those pinned first come first."""
        return list(self._digests.items())

    async def pin(self, ref: VersionRef, digest: str) -> None:
        """Durable when this returns; one that is pinned keeps its bytes. Raises StateUnavailable."""
        if ref in self._digests:
            return
        gone = [next(iter(self._digests))] if len(self._digests) >= self._most else []
        await self._write(
            [("INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", (str(ref), digest, time.time()))]
            + [("DELETE FROM pins WHERE adapter = ?", (str(one),)) for one in gone]
        )
        self._digests[ref] = digest
        for one in gone:
            self._digests.pop(one, None)

    async def forget(self, ref: VersionRef) -> None:
        """The next request that chooses it gets what its source has then. Raises StateUnavailable."""
        if ref in self._digests:
            await self._write([("DELETE FROM pins WHERE adapter = ?", (str(ref),))])
            self._digests.pop(ref, None)

    def close(self) -> None:
        """Finish what was asked for."""
        self._database.close()

    async def _write(self, statements: list[tuple[str, tuple[str | float, ...]]]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            for statement, values in statements:
                connection.execute(statement, values)

        try:
            await self._database.run(work)
        except RetrievalUnavailable as problem:
            raise StateUnavailable(str(problem)) from problem
