"""Revisions of routes: counted by the store, so that they are the same in every gateway."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from trivet.stores.state.database import insert_missing
from trivet.stores.state.schema import routes


def announce(connection: Connection, digests: Mapping[str, str]) -> dict[str, int]:
    """The revision of what a gateway serves, by route; another content than the last announced is the next one."""
    found = {}
    for name in sorted(digests):  # always in one order: two gateways that announce together do not wait for each other
        digest = digests[name]
        insert_missing(connection, routes, name=name, revision=0, content_digest="", content_revision=0)
        row = connection.execute(select(routes).where(routes.c.name == name).with_for_update()).one()
        if row.content_digest == digest:
            found[name] = int(row.content_revision)
            continue
        found[name] = int(row.revision) + 1
        changed = {"revision": found[name], "content_revision": found[name], "content_digest": digest}
        connection.execute(update(routes).where(routes.c.name == name).values(changed))
    return found


def lock(connection: Connection, route: str) -> None:
    """Nobody else changes the route or its rollout until the transaction ends."""
    insert_missing(connection, routes, name=route, revision=0, content_digest="", content_revision=0)
    connection.execute(select(routes.c.name).where(routes.c.name == route).with_for_update())


def next_revision(connection: Connection, route: str) -> int:
    """Count a change of a locked route."""
    counted = update(routes).where(routes.c.name == route).values(revision=routes.c.revision + 1)
    return int(connection.execute(counted.returning(routes.c.revision)).scalar_one())
