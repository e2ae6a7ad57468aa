"""`INSERT ... ON CONFLICT`, which both databases have and SQLAlchemy spells twice."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, literal
from sqlalchemy.dialects import postgresql, sqlite


def insert_missing(connection: Connection, table: Table, **values: Any) -> bool:
    """Insert a row unless one of its key is there; whether it was inserted."""
    statement = _insert(connection, table).values(values).on_conflict_do_nothing().returning(literal(1))
    return connection.execute(statement).first() is not None


def replace_row(connection: Connection, table: Table, **values: Any) -> None:
    """Insert a row, or give the one of its primary key these values."""
    keys = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in keys}
    connection.execute(
        _insert(connection, table).values(values).on_conflict_do_update(index_elements=keys, set_=changed)
    )


def _insert(connection: Connection, table: Table) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
