"""The state store's database: SQLite in the data folder, or PostgreSQL. Work on it is done in transactions."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from trivet.errors import FailedPrecondition, StateUnavailable
from trivet.stores.state.database.clock import Clock, SteadyClock, latest
from trivet.stores.state.database.connection import THREADS, postgresql_engine, sqlite_engine
from trivet.stores.state.database.migration import migrate

ResultT = TypeVar("ResultT")
logger = logging.getLogger(__name__)

_CALL_SECONDS = 10.0
_MOST_WAITING = 256  # calls; each gateway has a few at a time
# Mistakes of this program, and not of the store.
_OURS = (IntegrityError, ProgrammingError, DataError, NotSupportedError)
# An operator's: no right to it, a table or a schema that is not there (SQLSTATE of PostgreSQL, Appendix A).
_OPERATORS = {"42501", "42P01", "3F000"}
_REMEDY = "`trivet doctor` says more; a backup (`trivet restore`) mends it"


class StateDatabase:
    """Every piece of work is one transaction: after `kill -9` it is there whole or not at all.

    SQLite: https://sqlite.org/wal.html. PostgreSQL: a pooler in transaction mode may stand before it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(1 if self.embedded else THREADS, "state-store")
        self._waiting = 0
        self._migrating = threading.Lock()
        self._migrated = False
        self._away = False

    @property
    def embedded(self) -> bool:
        """It is a file of this data folder, and no other gateway has it."""
        return self._engine.dialect.name == "sqlite"

    @property
    def url(self) -> URL:
        """Where it is, the password included."""
        return self._engine.url

    @classmethod
    def open_server(cls, address: str, password: str | None = None) -> StateDatabase:
        """PostgreSQL, by its URL; blocks. Its schema is brought up to date.

        A server that is away is no error here: its schema is seen to by the first call that reaches it. Raises
        FailedPrecondition if the URL is none, or the database is no state store or a newer version's.
        """
        database = cls(postgresql_engine(address, password))
        try:
            database._transaction(lambda _: None)
        except StateUnavailable:
            pass  # said in the log; serving goes on without it
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_file(cls, path: Path, clock: Clock | None = None) -> StateDatabase:
        """A SQLite file, made if it is not there; blocks. Its schema is brought up to date. `clock` replaces its own.

        Raises FailedPrecondition if it cannot be read, or is no state store or a newer version's.
        """
        steady = SteadyClock()
        try:
            database = cls(sqlite_engine(path, steady if clock is None else clock))
        except OSError as error:
            raise FailedPrecondition(f"{path.name} cannot be opened: {error.strerror}. {_REMEDY}") from error
        try:
            steady.not_before(database._transaction(latest))
        except StateUnavailable as error:
            database.close()
            raise FailedPrecondition(f"{path.name} cannot be opened: {_said(error.__cause__)}. {_REMEDY}") from error
        except BaseException:
            database.close()
            raise
        return database

    async def run(self, work: Callable[[Connection], ResultT]) -> ResultT:
        """`work` in a transaction; committed, and on the disk, when this returns.

        Raises StateUnavailable if the database is away, did not answer in time or has too many calls waiting.
        Cancelled, it is done all the same or not at all.
        """
        if self._waiting >= _MOST_WAITING:
            raise StateUnavailable(f"{self._waiting} calls wait for the state store already")
        self._waiting += 1
        try:
            future = self._threads.submit(self._transaction, work)
            async with asyncio.timeout(_CALL_SECONDS):  # `wait_for` of Python 3.11 may lose a cancellation
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise StateUnavailable(f"the state store did not answer within {_CALL_SECONDS:g} s") from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Finish what was asked for and close every connection."""
        self._threads.shutdown()
        self._engine.dispose()

    def _transaction(self, work: Callable[[Connection], ResultT]) -> ResultT:
        try:
            self._migrate()
            with self._engine.begin() as connection:
                result = work(connection)
        except _OURS as error:
            if getattr(error.orig, "sqlstate", None) not in _OPERATORS:
                raise
            raise self._unavailable(error) from error.orig
        except DBAPIError as error:
            raise self._unavailable(error) from error.orig
        except PoolTimeoutError as error:
            raise StateUnavailable("every connection to the state store is in use") from error
        if self._away:
            self._away = False
            logger.warning("the state store is back")
        return result

    def _migrate(self) -> None:
        with self._migrating:
            if not self._migrated:
                with self._engine.begin() as connection:
                    migrate(connection)
                self._migrated = True

    def _unavailable(self, error: DBAPIError) -> StateUnavailable:
        """What PostgreSQL's driver says may name hosts and users, so clients are not told; the log is, once."""
        if not self._away:
            self._away = True
            logger.warning("the state store is away: %s", _said(error.orig))
        if self.embedded:
            return StateUnavailable(f"the state store cannot be used: {_said(error.orig)}")
        code = getattr(error.orig, "sqlstate", None) or type(error.orig).__name__
        return StateUnavailable(f"the state store is away ({code}); the server's log says more")


def _said(error: BaseException | None) -> str:
    """What the driver says, on one line, without the statement and its parameters."""
    return " ".join(str(error).split())
