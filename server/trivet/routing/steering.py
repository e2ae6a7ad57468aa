"""Routes as they are served: what the file says of a route, and what the state store says of its rollout."""

from __future__ import annotations

from dataclasses import dataclass, replace

from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route


@dataclass(frozen=True, slots=True)
class Steering:
    """What the store says of a route: its rollout, None if it has none, and the revision of that."""

    rollout: RouteRollout | None = None
    revision: int = 0


def steered(route: Route, steering: Steering) -> Route:
    """A route of the file with the store's rollout, at the higher of both revisions; at 0 for a gateway's own doing.

    A rollout of other variants or of another spec than the file's is none of this route's: all units have stable.
    """
    declared = route.rollout
    if declared is None:
        return route if route.revision >= steering.revision else replace(route, revision=steering.revision)
    rollout = declared
    if steering.rollout is not None and _about(steering.rollout) == _about(declared):
        rollout = steering.rollout
    revision = 0 if rollout.local else max(route.revision, steering.revision)
    weights = {**dict.fromkeys(route.variants, 0.0), **rollout.weights}
    return replace(route, rollout=rollout, weights=weights, revision=revision)


def stable_alone(route: Route) -> Route:
    """The same with all units on stable, as this gateway's own doing: its candidate cannot answer here."""
    assert route.rollout is not None
    held = replace(route.rollout, share=0.0, local=True)
    return replace(route, rollout=held, weights={**route.weights, **held.weights}, revision=0)


def _about(rollout: RouteRollout) -> tuple[str, str, str]:
    return rollout.stable, rollout.candidate, rollout.spec_digest
