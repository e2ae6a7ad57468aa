"""What the file says of a route, as a digest and a revision: two gateways with the same file have the same ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from trivet.types.variant import Route

# From digests by route to revisions by route, as the state store's `announce`.
Announce = Callable[[Mapping[str, str]], Awaitable[Mapping[str, int]]]


def content_digest(route: Route) -> str:
    """SHA-256 in hexadecimal over all of a route as the file declares it, but for its revision."""
    data = json.dumps(asdict(replace(route, revision=0)), sort_keys=True, default=_plain)
    return hashlib.sha256(data.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON has for an enumeration's member, and for a set, whose order is another one in each process."""
    return sorted(value) if isinstance(value, frozenset) else value.value


async def revised(routes: Mapping[str, Route], announce: Announce) -> dict[str, Route]:
    """The same routes with the revisions that their contents have."""
    revisions = await announce({name: content_digest(route) for name, route in routes.items()})
    return {name: replace(route, revision=revisions[name]) for name, route in routes.items()}
