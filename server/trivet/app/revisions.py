"""Revisions of what the file says of each route: another content is another revision, whoever reads it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from trivet.routing.content import content_digest
from trivet.types.variant import Route

# From digests by route to revisions by route, as the state store's `announce`.
Announce = Callable[[Mapping[str, str]], Awaitable[Mapping[str, int]]]


async def revised(routes: Mapping[str, Route], announce: Announce) -> dict[str, Route]:
    """The same routes with the revisions that their contents have."""
    revisions = await announce({name: content_digest(route) for name, route in routes.items()})
    return {name: replace(route, revision=revisions[name]) for name, route in routes.items()}


class OwnRevisions:
    """For a gateway on its own: the head's content keeps its revision, any other one has the next."""

    def __init__(self) -> None:
        self._heads: dict[str, tuple[str, int]] = {}

    async def announce(self, digests: Mapping[str, str]) -> Mapping[str, int]:
        """Revisions from 1 on, by route."""
        for name, digest in digests.items():
            head, revision = self._heads.get(name, ("", 0))
            if head != digest:
                self._heads[name] = digest, revision + 1
        return {name: self._heads[name][1] for name in digests}
