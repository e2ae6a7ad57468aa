"""What gateways have used of the limits, and what each of them keeps for its next requests.

`used` of a window grows by what gateways tell; each tells all that it has spent there, so a message that comes twice
counts once. What a gateway holds is not free for others until it gives it back, or its lease expires.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select, tuple_, update

from trivet.stores.state.database import insert_missing, now
from trivet.stores.state.schema import budget_leases, budget_windows
from trivet.types.budget import Claim, Grant

_REPORTED_SECONDS = 1800.0  # after a window's end
_KEPT_SECONDS = 7200.0
_DELETED_ROWS = 1000
_SET_BACK_SECONDS = 60.0  # a clock that is set back by more is followed into the earlier window
_SHARE_OF_REST = 4  # of what is left, a gateway gets this part beyond its need: all get some of the last


@dataclass(frozen=True, slots=True)
class _Window:
    """A limit's window that is now, with its row locked."""

    claim: Claim
    start: int
    end: int
    used: int
    held: int

    @property
    def left(self) -> int:
        return self.claim.most - self.used - self.held


def exchange(
    connection: Connection, gateway: str, number: int, lease_seconds: float, claims: Sequence[Claim]
) -> list[Grant] | None:
    """Write down what a gateway tells and grant what it asks for: all of its needs, or nothing.

    A need is met as long as anything is left of the limit, so all gateways together exceed it by one request at most.
    One grant for each claim of a window that is now. `number` grows with each message of the gateway: None for an older
    one that comes late, which changes nothing that a later one told. Windows are locked in the order of their ids.
    """
    at = now(connection)
    expires = at + lease_seconds
    asked: list[_Window] = []
    for claim in sorted(claims, key=lambda claim: (claim.limit, -1 if claim.start is None else claim.start)):
        start, end = claim.period.window(_not_before(connection, claim.limit, at))
        told = start if claim.start is None else claim.start
        for window in sorted({told, start} if claim.need else {told}):
            if not _locked(connection, claim, window, at):
                continue  # it ended so long ago that nobody asks what came of it
            mine = claim if window == claim.start else replace(claim, spent=0, held=0)
            if not _tell(connection, gateway, number, expires, window, mine):
                return None
        if claim.need or told == start:
            used = connection.execute(_row(claim.limit, start)).one().used
            asked.append(_Window(claim, start, end, used, _held(connection, claim.limit, start, at)))
    return _grant(connection, gateway, at, asked)


def _not_before(connection: Connection, limit: str, at: float) -> float:
    """The time, but not in an earlier window than one that gateways are in: the clock may have been set back a bit."""
    later = select(func.max(budget_windows.c.start)).where(
        budget_windows.c.limit == limit, budget_windows.c.start <= at + _SET_BACK_SECONDS
    )
    return max(at, float(connection.execute(later).scalar_one() or 0))


def _locked(connection: Connection, claim: Claim, window: int, at: float) -> bool:
    """Lock a window's row, made if it is not there; False if it ended long ago."""
    end = claim.period.window(window)[1]
    if end + _REPORTED_SECONDS < at:
        return False
    insert_missing(connection, budget_windows, limit=claim.limit, start=window, end=end, used=0)
    connection.execute(_row(claim.limit, window).with_for_update()).one()
    return True


def usage(connection: Connection, limit: str, start: int) -> tuple[int, int]:
    """What was used of a limit in a window, and what gateways hold of it now."""
    row = connection.execute(_row(limit, start)).one_or_none()
    return (0 if row is None else row.used), _held(connection, limit, start, now(connection))


def forget(connection: Connection) -> int:
    """Remove some of the rows of windows that ended long ago; how many."""
    before, removed = now(connection) - _KEPT_SECONDS, 0
    for table in (budget_leases, budget_windows):
        key = tuple(table.primary_key.columns)
        some = select(*key).where(table.c.end < before).limit(_DELETED_ROWS)
        removed += connection.execute(delete(table).where(tuple_(*key).in_(some))).rowcount
    return removed


def _tell(connection: Connection, gateway: str, number: int, expires: float, window: int, claim: Claim) -> bool:
    """Write down one gateway's account; False if a later message of it was here first."""
    key = {"limit": claim.limit, "start": window, "gateway": gateway}
    end = claim.period.window(window)[1]
    insert_missing(connection, budget_leases, **key, number=0, spent=0, held=0, expires=0.0, end=end)
    mine = [budget_leases.c[name] == value for name, value in key.items()]
    row = connection.execute(select(budget_leases).where(*mine)).one()
    if row.number >= number:
        return False
    spent = max(row.spent, claim.spent)
    values = {"number": number, "spent": spent, "held": claim.held, "expires": expires}
    connection.execute(update(budget_leases).where(*mine).values(values))
    if spent > row.spent:
        counted = (budget_windows.c.limit == claim.limit, budget_windows.c.start == window)
        grown = budget_windows.c.used + (spent - row.spent)
        connection.execute(update(budget_windows).where(*counted).values(used=grown))
    return True


def _grant(connection: Connection, gateway: str, at: float, asked: Sequence[_Window]) -> list[Grant]:
    refused = any(window.left <= 0 for window in asked if window.claim.need)
    grants = []
    for window in asked:
        claim = window.claim
        overdrawn = 0 < window.left < claim.need
        more = 0 if overdrawn else min(claim.want, (window.left - claim.need) // _SHARE_OF_REST)
        granted = claim.need + more if claim.need and not refused else 0
        if granted:
            mine = (
                budget_leases.c.limit == claim.limit,
                budget_leases.c.start == window.start,
                budget_leases.c.gateway == gateway,
            )
            connection.execute(update(budget_leases).where(*mine).values(held=budget_leases.c.held + granted))
        held = window.held + granted
        grants.append(
            Grant(claim.limit, window.start, window.end, at, window.used, held, granted, overdrawn and not refused)
        )
    return grants


def _held(connection: Connection, limit: str, start: int, at: float) -> int:
    held = select(func.coalesce(func.sum(budget_leases.c.held), 0)).where(
        budget_leases.c.limit == limit, budget_leases.c.start == start, budget_leases.c.expires > at
    )
    return int(connection.execute(held).scalar_one())


def _row(limit: str, start: int) -> Select[Any]:
    return select(budget_windows).where(budget_windows.c.limit == limit, budget_windows.c.start == start)
