"""A SQLite file that is written from one thread and durable at every commit."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from trivet.errors import FailedPrecondition, RetrievalUnavailable

ResultT = TypeVar("ResultT")

_BUSY_SECONDS = 10.0
_REMEDY = "`trivet doctor` says more; a backup (`trivet restore`) mends it"
# Mistakes of this program, not of the file.
_OURS = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError, sqlite3.NotSupportedError)


class Database:
    """One file. Every piece of work is one transaction: after `kill -9` or a power cut it is there whole or not at all.

    Write-ahead log with synchronous=FULL: a commit returns when it is on the disk (https://sqlite.org/wal.html).
    """

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, name: str) -> None:
        self._connection = connection
        self._thread = thread
        self._name = name

    @classmethod
    def open(cls, path: Path, version: int, schema: Sequence[str]) -> Database:
        """Open it, made with `schema` if it is not there.

        Raises FailedPrecondition if it has another schema version, or is no database.
        """
        thread = ThreadPoolExecutor(1, f"sqlite-{path.stem}")
        try:
            connection = thread.submit(_open, path, version, schema).result()
        except BaseException:
            thread.shutdown()
            raise
        return cls(connection, thread, path.name)

    async def run(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """`work` in a transaction that writes; committed and on the disk when this returns.

        Raises RetrievalUnavailable if the file cannot be written (a full disk, for instance) or is damaged: nothing has
        changed then.
        Cancelled, it is done all the same.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transaction, work)

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._thread.submit(self._connection.close)
        self._thread.shutdown()

    def _transaction(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        try:
            with _transaction(self._connection):
                return work(self._connection)
        except _OURS:
            raise
        except sqlite3.OperationalError as error:
            raise RetrievalUnavailable(f"{self._name} cannot be written: {error}") from error
        except sqlite3.DatabaseError as error:
            raise RetrievalUnavailable(f"{self._name} is damaged: {error}. {_REMEDY}") from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors roll back by themselves
            connection.execute("ROLLBACK")
        raise


def _open(path: Path, version: int, schema: Sequence[str]) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.DatabaseError as error:  # a folder in its place, or not ours to read
        raise FailedPrecondition(f"{path} cannot be opened: {error}. {_REMEDY}") from error
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        with _transaction(connection):
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if found != version and (found or tables):
                raise FailedPrecondition(
                    f"{path.name} has schema version {found}, this version of Trivet reads {version}: "
                    "use the version that wrote it, or move the file away"
                )
            if not tables:
                for statement in schema:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version:d}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise FailedPrecondition(f"{path} cannot be opened: {error}. {_REMEDY}") from error
    except BaseException:
        connection.close()
        raise
    return connection
