"""What people said of answers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from trivet.stores.state.database import insert_missing, now, replace_row
from trivet.stores.state.schema import counters, feedback
from trivet.types.rollout_state import Feedback

_FIELDS = tuple(Feedback.__dataclass_fields__)


def add(connection: Connection, said: Feedback) -> bool:
    """Record it in place of what was said before; False if that is the same."""
    before = get(connection, said.tenant, said.request_id)
    values = {name: getattr(said, name) for name in _FIELDS} | {"at": now(connection)}
    if before is not None and all(getattr(before, name) == values[name] for name in _FIELDS if name != "at"):
        return False
    replace_row(connection, feedback, number=_next_number(connection), **values)
    return True


def get(connection: Connection, tenant: str, request_id: str) -> Feedback | None:
    """What was said of an answer; None if nothing was."""
    one = (feedback.c.tenant == tenant, feedback.c.request_id == request_id)
    row = connection.execute(select(feedback).where(*one)).one_or_none()
    return None if row is None else _feedback(row)


def _next_number(connection: Connection) -> int:
    """Its row stays locked until the transaction ends, so that no later number is seen before an earlier one."""
    insert_missing(connection, counters, name="feedback", value=0)
    counted = update(counters).where(counters.c.name == "feedback").values(value=counters.c.value + 1)
    return int(connection.execute(counted.returning(counters.c.value)).scalar_one())


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(**{name: row._mapping[name] for name in _FIELDS})
