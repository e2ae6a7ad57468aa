"""What operators asked for: the adapters that are to be loaded whatever the routes say, and with which bytes."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, delete, select

from trivet.errors import FailedPrecondition
from trivet.stores.state.bounds import ID, NAME, check_texts
from trivet.stores.state.database import StateDatabase, insert_missing, now, replace_row
from trivet.stores.state.schema import desired_adapters
from trivet.types.adapter import DesiredAdapter
from trivet.types.variant import VersionRef

_Recorded = tuple[str, str, str, str, float]  # backend, name, version, digest, when


class DesiredAdapters:
    """Implements `trivet.ports.DesiredAdapterStore`: every call is one transaction. Gateways share them."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    async def all(self, backend: str) -> list[DesiredAdapter]:
        return await self._database.run(partial(_all, backend=backend))

    async def record(self, backend: str, adapter: DesiredAdapter) -> None:
        check_texts(
            backend=(backend, NAME), name=(adapter.ref.name, NAME), version=(adapter.ref.version, NAME),
            digest=(adapter.digest, ID),
        )  # fmt: skip
        await self._database.run(partial(_record, backend=backend, adapter=adapter))

    async def withdraw(self, backend: str, ref: VersionRef) -> None:
        await self._database.run(partial(_withdraw, backend=backend, ref=ref))

    async def take_over(self, path: Path) -> int:
        """Move what the file `adapters.sqlite` of an older version holds into the store; how many there were.

        The file goes once they are on the disk. One that the store has already stays as it is. Raises
        FailedPrecondition if the file cannot be read.
        """
        rows = await asyncio.to_thread(_of_older_file, path)
        if rows is None:
            return 0
        await self._database.run(partial(_insert, rows=rows))
        await asyncio.to_thread(_remove, path)
        return len(rows)


def _all(connection: Connection, backend: str) -> list[DesiredAdapter]:
    table = desired_adapters.c
    query = select(desired_adapters).where(table.backend == backend)
    rows = connection.execute(query.order_by(table.recorded.desc(), table.name, table.version))
    return [DesiredAdapter(VersionRef(row.name, row.version), row.digest) for row in rows]


def _record(connection: Connection, backend: str, adapter: DesiredAdapter) -> None:
    replace_row(
        connection, desired_adapters,
        backend=backend, name=adapter.ref.name, version=adapter.ref.version, digest=adapter.digest,
        recorded=now(connection),
    )  # fmt: skip


def _withdraw(connection: Connection, backend: str, ref: VersionRef) -> None:
    table = desired_adapters.c
    one = (table.backend == backend, table.name == ref.name, table.version == ref.version)
    connection.execute(delete(desired_adapters).where(*one))


def _insert(connection: Connection, rows: Sequence[_Recorded]) -> None:
    for backend, name, version, digest, recorded in rows:
        values = {"backend": backend, "name": name, "version": version, "digest": digest, "recorded": recorded}
        insert_missing(connection, desired_adapters, **values)


def _of_older_file(path: Path) -> list[_Recorded] | None:
    if not path.exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'adapter_wishes'").fetchone()[0]:
                return []
            return connection.execute("SELECT backend, name, version, digest, recorded FROM adapter_wishes").fetchall()
    except sqlite3.Error as error:
        raise FailedPrecondition(
            f"{path.name} cannot be opened: {error}. `trivet doctor` says more; a backup (`trivet restore`) mends it"
        ) from error


def _remove(path: Path) -> None:
    for ending in ("-wal", "-shm", ""):  # the file itself last: without it there is nothing to take over
        path.with_name(path.name + ending).unlink(missing_ok=True)
