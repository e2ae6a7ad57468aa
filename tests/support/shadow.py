"""Routes whose rollout is in its shadow, for the tests of copies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from tests.support.gateway.harness import Gateway, variant
from trivet.routing.arms import is_shadowed
from trivet.types.rollout import RouteRollout
from trivet.types.variant import CacheScope, RetrievalSettings, Route

CANDIDATE = "candidate"
"""The backend of the candidate."""

SHADOWED = RouteRollout(
    "r1", "shadow", -1, "old", "new", 0.0, 0.0, "salt", shadow_share=0.5, shadow_running=2, shadow_load=1.0
)


def _unit(drawn: bool) -> str:
    units = (f"unit-{number}" for number in range(100))
    return next(unit for unit in units if is_shadowed(SHADOWED.salt, unit, SHADOWED.shadow_share) is drawn)


DRAWN = _unit(drawn=True)
"""A unit whose requests are copied."""


def undrawn() -> str:
    """A unit whose requests are not."""
    return _unit(drawn=False)


def route_of(
    name: str,
    *,
    rollout: RouteRollout = SHADOWED,
    index: str | None = None,
    cache: CacheScope = CacheScope.SHARED,
    max_duration: float = 120.0,
    **stable: Any,
) -> Route:
    """A route with two variants, `old` on the scripted backend and `new` on the candidate's, each its own index."""
    new = variant("new")
    new = replace(
        new, backend=CANDIDATE, retrieval=None if index is None else RetrievalSettings(f"other-{index}", top_k=2)
    )
    variants = {"old": variant("old", index=index, **stable), "new": new}
    weights = {"old": 1.0, "new": 0.0}
    return Route(name, variants, weights, name, cache, max_duration=max_duration, revision=5, rollout=rollout)


async def settled(served: Gateway) -> None:
    """Until no copy runs."""
    async with asyncio.timeout(60):
        while served.shadow.running:
            await asyncio.sleep(0.005)
