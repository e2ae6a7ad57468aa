"""What the leader saw last of each rollout, so that every gateway can tell it."""

from __future__ import annotations

from sqlalchemy import Connection, select

from trivet.stores.state.database import now, replace_row
from trivet.stores.state.schema import looks


def put(connection: Connection, rollout: str, evidence: str) -> None:
    """In place of what was told before."""
    replace_row(connection, looks, rollout=rollout, evidence=evidence, at=now(connection))


def get(connection: Connection, rollout: str) -> str | None:
    """The newest; None if nobody has looked."""
    return connection.execute(select(looks.c.evidence).where(looks.c.rollout == rollout)).scalar_one_or_none()
