"""The tables of the document log in the state store's PostgreSQL database, by connections of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from trivet.errors import RetrievalUnavailable, StateUnavailable
from trivet.stores.sql import SqlConnection
from trivet.stores.state.database import StateDatabase, now

ResultT = TypeVar("ResultT")

RETRY_AFTER = 1.0  # seconds


class _Cursor:
    """Rows as mappings."""

    def __init__(self, result: Any) -> None:
        self._result = result

    @property
    def rowcount(self) -> int:
        return int(self._result.rowcount)

    def fetchone(self) -> Any:
        return self._result.mappings().fetchone()

    def fetchall(self) -> list[Any]:
        return list(self._result.mappings().fetchall())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._result.mappings())


class SharedConnection:
    """Implements `trivet.stores.sql.SqlConnection`. `core` is the same transaction, as SQLAlchemy has it."""

    def __init__(self, core: Connection) -> None:
        self.core = core

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> _Cursor:
        return _Cursor(self.core.exec_driver_sql(sql.replace("?", "%s"), tuple(parameters) or None))


class SharedDatabase:
    """Implements `trivet.stores.sql.SqlDatabase`."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str, password: str | None) -> SharedDatabase:
        """Its schema is brought up to date; blocks. A server that is away is no error: calls raise
        RetrievalUnavailable. Raises FailedPrecondition if it is no state store, or a newer version's."""
        return cls(StateDatabase.open_server(url, password))

    async def run(self, work: Callable[[SqlConnection], ResultT]) -> ResultT:
        """`work` in a transaction; committed when this returns. Raises RetrievalUnavailable while the database is
        away: then it is not known whether it was committed."""
        try:
            return await self._database.run(lambda core: work(SharedConnection(core)))
        except StateUnavailable as error:
            raise RetrievalUnavailable(f"the document log is away: {error}", retry_after=RETRY_AFTER) from error

    def close(self) -> None:
        """Finish what was asked for and close every connection; blocks."""
        self._database.close()


def core_of(connection: SqlConnection) -> Connection:
    """What SQLAlchemy has of a transaction of a `SharedDatabase`."""
    assert isinstance(connection, SharedConnection), "only a shared log is coordinated"
    return connection.core


def clock(connection: SqlConnection) -> float:
    """The store's clock."""
    return now(core_of(connection))
