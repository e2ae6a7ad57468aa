"""Batches of observations: stored once each, numbered in the order of their commits."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select, update

from trivet.stores.state.database import now
from trivet.stores.state.schema import batches, flushes, rollouts
from trivet.stores.state.upsert import insert_missing
from trivet.types.rollout_state import ObservationBatch, StoredBatch

MOST_BYTES = 1 << 20


def append(connection: Connection, new: Sequence[ObservationBatch]) -> int:
    """Store what is new of these; how many were. Raises ValueError for one of over 1 MiB.

    A gateway's batches come in order: one whose number is not above the last stored of its epoch was stored before.
    A rollout's row is locked while its batches are numbered, so no later number is seen before an earlier one.
    """
    ids = sorted({batch.rollout for batch in new})
    locked = select(rollouts.c.id).where(rollouts.c.id.in_(ids)).order_by(rollouts.c.id).with_for_update()
    connection.execute(locked)  # in one order, so that two gateways do not wait for each other
    stored = 0
    for batch in new:
        if len(batch.data) > MOST_BYTES:
            raise ValueError(f"a batch of {len(batch.data):,} bytes, expected at most {MOST_BYTES:,}")
        if not _first_time(connection, batch):
            continue
        counted = update(rollouts).where(rollouts.c.id == batch.rollout).values(batches=rollouts.c.batches + 1)
        number = connection.execute(counted.returning(rollouts.c.batches)).scalar_one_or_none()
        if number is None:  # a rollout that was removed after its retention
            continue
        values = {name: getattr(batch, name) for name in ObservationBatch.__dataclass_fields__}
        connection.execute(insert(batches).values(number=number, at=now(connection), **values))
        stored += 1
    return stored


def read(connection: Connection, rollout: str, after_number: int, limit: int) -> list[StoredBatch]:
    """A rollout's batches by number."""
    query = (
        select(batches)
        .where(batches.c.rollout == rollout, batches.c.number > after_number)
        .order_by(batches.c.number)
        .limit(limit)
    )
    return [
        StoredBatch(
            row.number,
            row.at,
            ObservationBatch(row.rollout, row.step, row.gateway, row.epoch, row.seq, bytes(row.data)),
        )
        for row in connection.execute(query)
    ]


def forget(connection: Connection, ended_before: float) -> int:
    """Remove the batches of rollouts that ended before a time; how many."""
    ended = select(rollouts.c.id).where(
        rollouts.c.state.in_(("promoted", "rolled_back", "cancelled")), rollouts.c.changed_at < ended_before
    )
    connection.execute(delete(flushes).where(flushes.c.at < ended_before))
    return connection.execute(delete(batches).where(batches.c.rollout.in_(ended))).rowcount


def _first_time(connection: Connection, batch: ObservationBatch) -> bool:
    """Whether it is above the gateway's last, which it is then."""
    key = {"gateway": batch.gateway, "epoch": batch.epoch}
    insert_missing(connection, flushes, **key, seq=-1, at=0.0)
    newer = (flushes.c.gateway == batch.gateway, flushes.c.epoch == batch.epoch, flushes.c.seq < batch.seq)
    advanced = update(flushes).where(*newer).values(seq=batch.seq, at=now(connection))
    return bool(connection.execute(advanced).rowcount)
