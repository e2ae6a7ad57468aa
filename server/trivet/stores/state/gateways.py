"""What gateways say of themselves."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from trivet.stores.state.bounds import TOLD, check_texts
from trivet.stores.state.database import now, replace_row
from trivet.stores.state.schema import gateways
from trivet.types.rollout_state import GatewayStatus

_TOLD = ("applied", "ready", "spec_digests", "snapshots", "overrides")


def heartbeat(connection: Connection, status: GatewayStatus) -> None:
    """It lives, by the store's clock."""
    told = json.dumps({name: dict(getattr(status, name)) for name in _TOLD}, sort_keys=True)
    check_texts(told=(told, TOLD))
    replace_row(
        connection, gateways,
        id=status.id, epoch=status.epoch, address=status.address, heartbeat=now(connection), told=told,
    )  # fmt: skip


def alive(connection: Connection, within_seconds: float) -> list[GatewayStatus]:
    """Those with a heartbeat within these seconds, by id."""
    since = now(connection) - within_seconds
    query = select(gateways).where(gateways.c.heartbeat >= since).order_by(gateways.c.id)
    return [_status(row) for row in connection.execute(query)]


def forget(connection: Connection, before: float) -> None:
    """Remove those that were not heard of since."""
    connection.execute(delete(gateways).where(gateways.c.heartbeat < before))


def _status(row: Row[Any]) -> GatewayStatus:
    return GatewayStatus(
        id=row.id, epoch=row.epoch, address=row.address, heartbeat=row.heartbeat, **json.loads(row.told)
    )
