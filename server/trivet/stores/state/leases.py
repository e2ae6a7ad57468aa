"""The right to decide, with a fence that grows with each new owner."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from trivet.errors import LeaseLost
from trivet.stores.state.database import insert_missing, now
from trivet.stores.state.schema import leases
from trivet.types.rollout_state import Lease


def take(connection: Connection, name: str, owner: str, seconds: float) -> Lease | None:
    """Take or renew; None if another owner's has not expired."""
    insert_missing(connection, leases, name=name, owner="", fence=0, expires=0.0)
    row = connection.execute(select(leases).where(leases.c.name == name).with_for_update()).one()
    at = now(connection)
    if row.owner != owner and row.expires > at:
        return None
    # An owner whose lease had expired may have been asleep: it begins anew, so that its older self is refused.
    fence = int(row.fence) + (0 if row.owner == owner and row.expires > at else 1)
    values = {"owner": owner, "fence": fence, "expires": at + seconds}
    connection.execute(update(leases).where(leases.c.name == name).values(values))
    return Lease(name, owner, fence, at + seconds)


def release(connection: Connection, lease: Lease) -> None:
    """Others may take it at once; nothing if it has passed on."""
    held = (leases.c.name == lease.name, leases.c.owner == lease.owner, leases.c.fence == lease.fence)
    connection.execute(update(leases).where(*held).values(expires=0.0))


def require_held(connection: Connection, lease: Lease) -> None:
    """Raises LeaseLost unless it is unexpired and still its owner's; it stays so until the transaction ends."""
    row = connection.execute(select(leases).where(leases.c.name == lease.name).with_for_update()).one_or_none()
    if row is None or row.owner != lease.owner or row.fence != lease.fence or row.expires <= now(connection):
        raise LeaseLost(f"the lease {lease.name!r} of {lease.owner!r} with fence {lease.fence} is not held any more")
