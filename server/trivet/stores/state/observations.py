"""Batches of observations: stored once each, numbered in the order of their commits."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, select, tuple_, update

from trivet.stores.state.database import insert_missing, now
from trivet.stores.state.schema import batches, rollouts
from trivet.types.rollout import ENDED
from trivet.types.rollout_state import ObservationBatch, StoredBatch

_FIELDS = tuple(ObservationBatch.__dataclass_fields__)
_READ_BYTES = 16 << 20
_DELETED_ROWS = 1000


def append(connection: Connection, new: Sequence[ObservationBatch]) -> int:
    """Store what is new of these, by gateway, epoch and number; how many were. One of an unknown rollout is dropped.

    A rollout's row is locked while its batches are numbered, so no later number is seen before an earlier one.
    """
    ids = sorted({batch.rollout for batch in new})
    locked = select(rollouts.c.id, rollouts.c.batches).where(rollouts.c.id.in_(ids)).order_by(rollouts.c.id)
    before: dict[str, int] = {row.id: row.batches for row in connection.execute(locked.with_for_update())}
    numbers: dict[str, int] = dict(before)
    at = now(connection)
    for batch in new:
        if batch.rollout in numbers:
            values = {name: getattr(batch, name) for name in _FIELDS}
            number = numbers[batch.rollout] + 1
            if insert_missing(connection, batches, number=number, at=at, **values):
                numbers[batch.rollout] = number
    for rollout, number in numbers.items():
        if number > before[rollout]:
            connection.execute(update(rollouts).where(rollouts.c.id == rollout).values(batches=number))
    return sum(number - before[rollout] for rollout, number in numbers.items())


def read(connection: Connection, rollout: str, after_number: int, limit: int) -> list[StoredBatch]:
    """A rollout's batches by number; the first one, and more as long as they are small enough together."""
    mine = (batches.c.rollout == rollout, batches.c.number > after_number)
    total: ColumnElement[int] = func.sum(func.length(batches.c.data)).over(order_by=batches.c.number)
    sized = select(batches.c.number, total.label("total")).where(*mine).order_by(batches.c.number).limit(limit)
    rows = connection.execute(sized).all()
    if not rows:
        return []
    last = max((row.number for row in rows if row.total <= _READ_BYTES), default=rows[0].number)
    query = select(batches).where(*mine, batches.c.number <= last).order_by(batches.c.number)
    return [
        StoredBatch(
            row.number,
            row.at,
            ObservationBatch(row.rollout, row.step, row.gateway, row.epoch, row.seq, bytes(row.data)),
        )
        for row in connection.execute(query)
    ]


def forget(connection: Connection, ended_before: float) -> int:
    """Remove some of the batches of rollouts that ended before a time; how many."""
    ended = select(rollouts.c.id).where(rollouts.c.state.in_(sorted(ENDED)), rollouts.c.changed_at < ended_before)
    some = select(batches.c.rollout, batches.c.number).where(batches.c.rollout.in_(ended)).limit(_DELETED_ROWS)
    return connection.execute(delete(batches).where(tuple_(batches.c.rollout, batches.c.number).in_(some))).rowcount
