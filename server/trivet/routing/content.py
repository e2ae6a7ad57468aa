"""What the file says of a route, as a digest and a revision: two gateways with the same file have the same ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from trivet.types.variant import Route, without_defaults

# From digests by route to revisions by route, as the state store's `announce`.
Announce = Callable[[Mapping[str, str]], Awaitable[Mapping[str, int]]]


def content_digest(route: Route) -> str:
    """SHA-256 in hexadecimal over what matters to a route's answers, as the file declares it; not its revision."""
    content = asdict(replace(route, revision=0, kept_share=0.0))
    del content["stream"]  # how answers are cut into messages is not what they are
    for variant in content["variants"].values():
        without_defaults(variant)
    data = json.dumps(content, sort_keys=True, default=_plain)
    return hashlib.sha256(data.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON has for an enumeration's member, and for a set, whose order is another one in each process."""
    return sorted(value) if isinstance(value, frozenset) else value.value


async def revised(routes: Mapping[str, Route], announce: Announce) -> dict[str, Route]:
    """The same routes with the revisions that their contents have."""
    revisions = await announce({name: content_digest(route) for name, route in routes.items()})
    return {name: replace(route, revision=revisions[name]) for name, route in routes.items()}
