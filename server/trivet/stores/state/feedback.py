"""What people said of answers."""

from __future__ import annotations

from sqlalchemy import Connection, select

from trivet.stores.state.database import now
from trivet.stores.state.schema import feedback
from trivet.stores.state.upsert import replace_row
from trivet.types.rollout_state import Feedback

_FIELDS = tuple(Feedback.__dataclass_fields__)


def add(connection: Connection, said: Feedback) -> bool:
    """Record it in place of what was said before; False if that is the same."""
    before = get(connection, said.tenant, said.request_id)
    values = {name: getattr(said, name) for name in _FIELDS} | {"at": now(connection)}
    if before is not None and all(getattr(before, name) == values[name] for name in _FIELDS if name != "at"):
        return False
    replace_row(connection, feedback, **values)
    return True


def get(connection: Connection, tenant: str, request_id: str) -> Feedback | None:
    """What was said of an answer; None if nothing was."""
    one = (feedback.c.tenant == tenant, feedback.c.request_id == request_id)
    row = connection.execute(select(feedback).where(*one)).one_or_none()
    return None if row is None else Feedback(**{name: row._mapping[name] for name in _FIELDS})
