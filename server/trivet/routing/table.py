"""The routes that are served now, and the choice among their variants."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trivet.errors import InvalidRequest, UnknownRoute
from trivet.excerpt import quote
from trivet.routing.arms import assign_arm
from trivet.routing.assignment import assign
from trivet.types.receipt import UnitSource
from trivet.types.variant import Route, Variant


@dataclass(frozen=True, slots=True)
class Resolution:
    """Which variant answers a request, of which revision of its route, and why."""

    route: Route
    variant: Variant
    unit: str
    unit_source: UnitSource


class RouteTable:
    """Routes by name, replaced all at once: who resolved one before keeps what it has. Safe between threads."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        """Raises ValueError for a route that could not be resolved."""
        self.replace(routes)

    @property
    def revision(self) -> int:
        """The highest of the routes'."""
        return max((route.revision for route in self._routes.values()), default=0)

    @property
    def routes(self) -> Mapping[str, Route]:
        """All routes as they are now; never changes after it was handed out."""
        return self._routes

    def route(self, name: str) -> Route:
        """One route as it is now; raises UnknownRoute."""
        routes = self._routes
        if name not in routes:
            raise UnknownRoute(name)
        return routes[name]

    def resolve(self, route_name: str, unit_id: str = "", *, request_id: str = "", forced: str = "") -> Resolution:
        """The variant for a unit; where none is given, one that is drawn for this request alone.

        `forced` is the variant that a tester chose. Raises UnknownRoute, and InvalidRequest for an unknown variant.
        """
        route = self.route(route_name)
        unit = unit_id or request_id or secrets.token_hex(16)
        if forced:
            if forced not in route.variants:
                known = ", ".join(route.variants)
                raise InvalidRequest({"x-trivet-variant": f"no variant {quote(forced)} in this route; known: {known}"})
            return Resolution(route, route.variants[forced], unit, UnitSource.FORCED)
        name, source = _chosen(route, unit, named=bool(unit_id))
        return Resolution(route, route.variants[name], unit, source)

    def replace(self, routes: Mapping[str, Route]) -> None:
        """Serve these and no others from the next request on, in one step.

        Raises ValueError, and changes nothing, for one that could not be resolved.
        """
        for name, route in routes.items():
            _check(name, route)
        self._routes = MappingProxyType(dict(routes))


def _chosen(route: Route, unit: str, *, named: bool) -> tuple[str, UnitSource]:
    rollout = route.rollout
    if rollout is None:
        return assign(route.salt, unit, route.weights), UnitSource.REQUEST if named else UnitSource.RANDOM
    found = assign_arm(rollout.salt, unit if named else None, unit, share=rollout.share, holdout=rollout.held_out)
    return rollout.variant_of(found.arm), found.source


def _check(name: str, route: Route) -> None:
    if route.name != name:
        raise ValueError(f"route {route.name!r} under the name {name!r}, expected its own")
    rollout = route.rollout
    named = route.weights.keys() | (set() if rollout is None else {rollout.stable, rollout.candidate})
    if unknown := sorted(named - route.variants.keys()):
        raise ValueError(f"route {name!r} names unknown variants {', '.join(unknown)}, expected only its own")
    assign(route.salt, "", route.weights)  # raises for weights that cannot be drawn from
    if rollout is not None:
        assign_arm(rollout.salt, "", "", share=rollout.share, holdout=rollout.holdout)  # the same for a share
