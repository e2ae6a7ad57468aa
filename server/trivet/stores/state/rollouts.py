"""Rollouts and their audit log."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, tuple_, update

from trivet.errors import Conflict, FailedPrecondition, NotFound
from trivet.stores.state.bounds import fitting
from trivet.stores.state.database import now, replace_row
from trivet.stores.state.leases import require_held
from trivet.stores.state.routes import lock, next_revision
from trivet.stores.state.schema import looks, rollouts, transitions
from trivet.types.rollout import ENDED
from trivet.types.rollout_state import Lease, Move, RolloutRecord, Transition

_FIELDS = tuple(RolloutRecord.__dataclass_fields__)
_TRANSITION_FIELDS = tuple(Transition.__dataclass_fields__)


def current(connection: Connection) -> dict[str, RolloutRecord]:
    """The newest rollout of each route."""
    newest = select(rollouts.c.route, func.max(rollouts.c.number)).group_by(rollouts.c.route)
    rows = connection.execute(select(rollouts).where(tuple_(rollouts.c.route, rollouts.c.number).in_(newest)))
    return {row.route: _record(row) for row in rows}


def by_id(connection: Connection, rollout: str) -> RolloutRecord:
    """One by its id; raises NotFound."""
    row = connection.execute(select(rollouts).where(rollouts.c.id == rollout)).one_or_none()
    if row is None:
        raise NotFound(f"there is no rollout {rollout!r}")
    return _record(row)


def history(connection: Connection, route: str, limit: int) -> list[RolloutRecord]:
    """A route's rollouts, the newest first."""
    query = select(rollouts).where(rollouts.c.route == route).order_by(rollouts.c.number.desc()).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def audit_log(connection: Connection, route: str, after_revision: int, limit: int) -> list[Transition]:
    """A route's transitions, the oldest first."""
    query = (
        select(transitions)
        .where(transitions.c.route == route, transitions.c.revision > after_revision)
        .order_by(transitions.c.revision)
        .limit(limit)
    )
    return [
        Transition(**{name: row._mapping[name] for name in _TRANSITION_FIELDS}) for row in connection.execute(query)
    ]


def create(
    connection: Connection, route: str, spec_digest: str, spec: str, actor: str, reason: str, *, restart: bool
) -> RolloutRecord:
    """A pending rollout; what runs on the route is cancelled. Without `restart` a digest that was is not begun anew."""
    lock(connection, route)  # two gateways that create together make one
    before = history(connection, route, 1)
    if not restart and _seen(connection, route, spec_digest):
        return before[0]
    if before and before[0].state not in ENDED:
        message = "Another spec takes its place."
        cancelled = Move("cancel", "cancelled", before[0].step, 0.0, "superseded", message, actor)
        _moved(connection, before[0], cancelled, fence=0)
    at, revision = now(connection), next_revision(connection, route)
    record = RolloutRecord(
        id=secrets.token_hex(8), route=route, spec_digest=spec_digest, spec=spec, salt=secrets.token_hex(16),
        state="pending", step=-1, share=0.0, since=at, judged_since=at, batches=0, revision=revision, fence=0,
        event="create", reason="created", message=fitting(reason), actor=actor, changed_at=at, created_at=at,
    )  # fmt: skip
    connection.execute(insert(rollouts).values(number=revision, **{name: getattr(record, name) for name in _FIELDS}))
    _log(connection, record, at, fence=0, event="create", before=("", -1), evidence="{}")
    return record


def move(
    connection: Connection, rollout: str, expected_revision: int, wanted: Move, lease: Lease | None
) -> RolloutRecord:
    """Compare and set, with its audit entry. Nothing has changed if it raises.

    Raises Conflict, LeaseLost, NotFound, or FailedPrecondition if the rollout has ended.
    """
    lock(connection, by_id(connection, rollout).route)
    record = by_id(connection, rollout)
    if record.revision != expected_revision:
        raise Conflict(
            f"the rollout of route {record.route!r} is at revision {record.revision}, expected {expected_revision}: "
            f"it is {record.state} now",
            record.revision,
        )
    if record.state in ENDED:
        raise FailedPrecondition(f"the rollout of route {record.route!r} has ended: it is {record.state}")
    if lease is not None:
        require_held(connection, lease)
    return _moved(connection, record, wanted, fence=0 if lease is None else lease.fence)


def _moved(connection: Connection, record: RolloutRecord, wanted: Move, *, fence: int) -> RolloutRecord:
    """The rollout's row is locked before the time is taken: a batch is older than the transition, or comes after it."""
    connection.execute(select(rollouts.c.id).where(rollouts.c.id == record.id).with_for_update())
    at, revision = now(connection), next_revision(connection, record.route)
    changes: dict[str, Any] = {
        "state": wanted.state, "step": wanted.step, "share": wanted.share, "revision": revision, "event": wanted.event,
        "since": at if wanted.since is None else wanted.since,
        "judged_since": at if wanted.judged_since is None else wanted.judged_since,
        "fence": max(fence, record.fence), "reason": wanted.reason, "message": fitting(wanted.message),
        "actor": wanted.actor, "changed_at": at,
    }  # fmt: skip
    changed = update(rollouts).where(rollouts.c.id == record.id).values(changes).returning(rollouts)
    after = _record(connection.execute(changed).one())
    before = (record.state, record.step)
    _log(connection, after, at, fence=fence, event=wanted.event, before=before, evidence=wanted.evidence)
    return after


def _log(
    connection: Connection, after: RolloutRecord, at: float, *, fence: int, event: str, before: tuple[str, int],
    evidence: str,
) -> None:  # fmt: skip
    entry = Transition(
        rollout=after.id, route=after.route, revision=after.revision, fence=fence, at=at, event=event,
        from_state=before[0], to_state=after.state, from_step=before[1], to_step=after.step, share=after.share,
        reason=after.reason, message=after.message, actor=after.actor, evidence=evidence,
    )  # fmt: skip
    connection.execute(insert(transitions).values({name: getattr(entry, name) for name in _TRANSITION_FIELDS}))


def _seen(connection: Connection, route: str, spec_digest: str) -> bool:
    query = select(rollouts.c.id).where(rollouts.c.route == route, rollouts.c.spec_digest == spec_digest).limit(1)
    return connection.execute(query).first() is not None


def _record(row: Row[Any]) -> RolloutRecord:
    return RolloutRecord(**{name: row._mapping[name] for name in _FIELDS})


def tell_look(connection: Connection, rollout: str, evidence: str) -> None:
    """What the leader saw last of it, in place of what was told before."""
    replace_row(connection, looks, rollout=rollout, evidence=evidence, at=now(connection))


def last_look(connection: Connection, rollout: str) -> str | None:
    """The newest; None if nobody has looked."""
    return connection.execute(select(looks.c.evidence).where(looks.c.rollout == rollout)).scalar_one_or_none()
