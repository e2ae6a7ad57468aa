"""What the document log and the snapshots' catalogue need of a database: SQLite's file, or a shared PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

ResultT = TypeVar("ResultT")


class SqlCursor(Protocol):
    """What a statement found, or changed. Rows are read by column name: `row["name"]`."""

    @property
    def rowcount(self) -> int:
        """Rows changed."""
        ...

    def fetchone(self) -> Any:
        """The next row, None if there is none."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class SqlConnection(Protocol):
    """One transaction. Statements are in what SQLite and PostgreSQL have in common; parameters are `?`."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> SqlCursor:
        """Run one statement."""
        ...


class SqlDatabase(Protocol):
    """Every piece of work is one transaction: after `kill -9` it is there whole or not at all."""

    async def run(self, work: Callable[[SqlConnection], ResultT]) -> ResultT:
        """`work` in a transaction; committed and durable when this returns. Raises RetrievalUnavailable."""
        ...
