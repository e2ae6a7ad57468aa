"""What was asked and answered, with what people said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, or_, select, tuple_, update

from trivet.stores.state.database import insert_missing, now, replace_row
from trivet.stores.state.schema import counters, erasures, feedback, interactions
from trivet.types.interaction import InteractionCount, InteractionFilter, SealedInteraction, StoredInteraction
from trivet.types.rollout_state import Feedback

_FIELDS = tuple(SealedInteraction.__dataclass_fields__)
_SAID = tuple(Feedback.__dataclass_fields__)
_READ_BYTES = 8 << 20
_DELETED_ROWS = 1000
_JOINED = and_(feedback.c.tenant == interactions.c.tenant, feedback.c.request_id == interactions.c.request_id)


def append(connection: Connection, new: Sequence[SealedInteraction], ages: Sequence[float]) -> int:
    """Store those of requests that are not there yet; how many. Numbers grow in the order of the commits.

    `ages`: how many seconds ago each was answered. What was erased since then is not stored.
    """
    before = number = _locked(connection)
    at = now(connection)
    erased = _erased(connection, new)
    for one, age in zip(new, ages, strict=True):
        values = {name: getattr(one, name) for name in _FIELDS}
        if any(erased.get((one.tenant, what), 0.0) >= at - age for what in _names(one)):
            continue
        if insert_missing(connection, interactions, number=number + 1, at=at, **values):
            number += 1
    connection.execute(update(counters).where(counters.c.name == "interaction").values(value=number))
    return number - before


def read(
    connection: Connection, wanted: InteractionFilter, after_number: int, limit: int
) -> Sequence[StoredInteraction]:
    """Some of them by number: the first, and more as long as they are small enough together."""
    where = (*_where(wanted), interactions.c.number > after_number)
    total: ColumnElement[int] = func.sum(func.length(interactions.c.data)).over(order_by=interactions.c.number)
    sized = select(interactions.c.number, total.label("total")).outerjoin(feedback, _JOINED).where(*where)
    rows = connection.execute(sized.order_by(interactions.c.number).limit(limit)).all()
    if not rows:
        return []
    last = max((row.number for row in rows if row.total <= _READ_BYTES), default=rows[0].number)
    said = [feedback.c[name].label(f"said_{name}") for name in _SAID]
    query = select(interactions, *said).outerjoin(feedback, _JOINED).where(*where, interactions.c.number <= last)
    return [_stored(row) for row in connection.execute(query.order_by(interactions.c.number))]


def count(connection: Connection, wanted: InteractionFilter) -> Sequence[InteractionCount]:
    """How many there are of each route and variant."""
    by = (interactions.c.route, interactions.c.variant)
    corrected: ColumnElement[int] = func.sum(case((feedback.c.corrected_text != "", 1), else_=0))
    query = (
        select(
            *by,
            func.count().label("stored"),
            func.count(feedback.c.request_id).label("rated"),
            corrected.label("corrected"),
            func.avg(feedback.c.score).label("mean_score"),
            func.min(interactions.c.at).label("oldest"),
            func.max(interactions.c.at).label("newest"),
        )
        .outerjoin(feedback, _JOINED)
        .where(*_where(wanted))
        .group_by(*by)
        .order_by(*by)
    )
    return [InteractionCount(**row._mapping) for row in connection.execute(query)]


def erase(
    connection: Connection, tenant: str, units: Sequence[str], request_ids: Sequence[str], everything: bool
) -> int:
    """Remove some of a tenant's: of these units and requests, or of everything; what was said of them too.

    How many were removed; to be called again until it is 0. What waits on its way to the store will not be stored.
    """
    _locked(connection)  # what is being stored is there first and is found, or comes afterwards and finds the erasure
    which = or_(interactions.c.unit.in_(units), interactions.c.request_id.in_(request_ids))
    where = [interactions.c.tenant == tenant, *(() if everything else (which,))]
    names = [*(f"unit:{unit}" for unit in units), *(f"request:{id_}" for id_ in request_ids)]
    for what in ["*"] if everything else names:
        replace_row(connection, erasures, tenant=tenant, what=what, at=now(connection))
    # What was said of interactions that are forgotten already is known by its requests alone.
    named = () if everything else (feedback.c.request_id.in_(request_ids),)
    connection.execute(delete(feedback).where(feedback.c.tenant == tenant, *named))
    some = connection.execute(select(interactions.c.request_id).where(*where).limit(_DELETED_ROWS)).scalars().all()
    for table in (feedback, interactions):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.request_id.in_(some)))
    return len(some)


def forget(connection: Connection, before: float) -> int:
    """Remove some that were stored before a time; how many. What was said of them stays, with the receipts."""
    connection.execute(delete(erasures).where(erasures.c.at < before))
    some = select(interactions.c.tenant, interactions.c.request_id).where(interactions.c.at < before)
    chosen = tuple_(interactions.c.tenant, interactions.c.request_id).in_(some.limit(_DELETED_ROWS))
    return connection.execute(delete(interactions).where(chosen)).rowcount


def _locked(connection: Connection) -> int:
    """The newest number. Nobody else stores or erases until the transaction ends."""
    insert_missing(connection, counters, name="interaction", value=0)
    locked = select(counters.c.value).where(counters.c.name == "interaction").with_for_update()
    return int(connection.execute(locked).scalar_one())


def _names(one: SealedInteraction) -> tuple[str, ...]:
    """By what an interaction may have been erased."""
    return (f"unit:{one.unit}", f"request:{one.request_id}", "*")


def _erased(connection: Connection, new: Sequence[SealedInteraction]) -> dict[tuple[str, str], float]:
    """When what these belong to was erased, by tenant and name."""
    wanted = {(one.tenant, what) for one in new for what in _names(one)}
    mine = tuple_(erasures.c.tenant, erasures.c.what).in_(wanted)
    return {(row.tenant, row.what): row.at for row in connection.execute(select(erasures).where(mine))}


def _where(wanted: InteractionFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [interactions.c.tenant == wanted.tenant]
    if wanted.routes:
        where.append(interactions.c.route.in_(wanted.routes))
    if wanted.variants:
        where.append(interactions.c.variant.in_(wanted.variants))
    if wanted.after is not None:
        where.append(interactions.c.at >= wanted.after)
    if wanted.before is not None:
        where.append(interactions.c.at < wanted.before)
    if wanted.rated:
        where.append(feedback.c.request_id.is_not(None))
    return where


def _stored(row: Row[Any]) -> StoredInteraction:
    values = row._mapping
    sealed = SealedInteraction(**{name: values[name] for name in _FIELDS if name != "data"}, data=bytes(values["data"]))
    said = None
    if values["said_request_id"] is not None:
        said = Feedback(**{name: values[f"said_{name}"] for name in _SAID})
    return StoredInteraction(values["number"], values["at"], sealed, said)
