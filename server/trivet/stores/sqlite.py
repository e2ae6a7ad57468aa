"""A SQLite file that is written from one thread and durable at every commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from trivet.errors import FailedPrecondition, RetrievalUnavailable

ResultT = TypeVar("ResultT")
Upgrade = Callable[[sqlite3.Connection], None]
NO_UPGRADES: Mapping[int, Upgrade] = {}

_BUSY_SECONDS = 10.0
_PAGES = 1024  # copied at a time
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
    def open(
        cls, path: Path, version: int, schema: Sequence[str], upgrades: Mapping[int, Upgrade] = NO_UPGRADES
    ) -> Database:
        """Open it, made with `schema` if it is not there. `upgrades`: from each version what makes it the next one.

        Raises FailedPrecondition if it has another schema version, or is no database.
        """
        thread = ThreadPoolExecutor(1, f"sqlite-{path.stem}")
        try:
            connection = thread.submit(_open, path, version, schema, upgrades).result()
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


def _open(path: Path, version: int, schema: Sequence[str], upgrades: Mapping[int, Upgrade]) -> sqlite3.Connection:
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
            while found < version and found in upgrades:
                upgrades[found](connection)
                found += 1
                connection.execute(f"PRAGMA user_version = {found:d}")
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


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None]) -> int:
    """Copy a database, as it is at one moment, to a new file, also while others write to it; its schema version.

    `progress` is told how many pages are done, and how many there are. The copy is checked, needs no other file and is
    on the disk when this returns. Raises FailedPrecondition if the source is damaged or the copy cannot be written.
    """
    try:
        with contextlib.closing(_existing(source)) as reading, contextlib.closing(sqlite3.connect(target)) as writing:
            reading.execute("BEGIN")  # until its end this connection sees the moment of its first read
            (version,) = reading.execute("PRAGMA user_version").fetchone()
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reading.backup(
                writing, pages=_PAGES, sleep=0, progress=lambda _, left, total: progress(total - left, total)
            )
            writing.execute("PRAGMA journal_mode=DELETE")
            if problem := quick_check(writing):
                raise FailedPrecondition(f"{source} is damaged: {problem}. {_REMEDY}")
    except sqlite3.DatabaseError as error:
        raise FailedPrecondition(f"{source} cannot be copied: {error}") from error
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return int(version)


def check_database(path: Path) -> tuple[int, str]:
    """Schema version, and the first problem of a database's structure, empty if there is none."""
    try:
        with contextlib.closing(_existing(path)) as connection:
            if problem := quick_check(connection):
                return 0, problem
            return int(connection.execute("PRAGMA user_version").fetchone()[0]), ""
    except sqlite3.DatabaseError as error:
        return 0, str(error)


def quick_check(connection: sqlite3.Connection) -> str:
    """The first problem that SQLite finds in a database's structure, empty if there is none; reads all of it."""
    try:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else str(found)


def _existing(path: Path) -> sqlite3.Connection:
    """Opened to be read; writing has to be allowed, or a write-ahead log that is left behind would stay."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
