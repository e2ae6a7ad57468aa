"""The routes that are served now, and the choice among their variants."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from types import MappingProxyType

from trivet.errors import FailedPrecondition, UnknownRoute
from trivet.routing.assignment import assign
from trivet.routing.differences import same
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
    """Routes by name, replaced one by one or all at once: who resolved one before keeps what it has.

    Safe between threads.
    """

    def __init__(self, routes: Mapping[str, Route]) -> None:
        """Raises ValueError for a route that could not be resolved."""
        for name, route in routes.items():
            _check(name, route)
        self._routes: Mapping[str, Route] = MappingProxyType(dict(routes))
        self._revision = max((route.revision for route in routes.values()), default=0)
        self._writing = Lock()

    @property
    def revision(self) -> int:
        """The highest that any route has had."""
        return self._revision

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

    def resolve(self, route_name: str, unit_id: str = "") -> Resolution:
        """The variant for a unit; for a fresh random one, used for this request alone, where none is given.

        Raises UnknownRoute.
        """
        route = self.route(route_name)
        source = UnitSource.REQUEST if unit_id else UnitSource.RANDOM
        unit = unit_id or secrets.token_hex(16)
        return Resolution(route, route.variants[assign(route.salt, unit, route.weights)], unit, source)

    def replace(self, route: Route) -> None:
        """Serve a newer revision of a route from the next request on.

        Raises UnknownRoute, ValueError for one that could not be resolved, and FailedPrecondition unless its revision
        is higher than the one served: a late writer never undoes what came after it.
        """
        _check(route.name, route)
        with self._writing:
            current = self._routes.get(route.name)
            if current is None:
                raise UnknownRoute(route.name)
            if route.revision <= current.revision:
                raise FailedPrecondition(
                    f"revision {route.revision} of route {route.name!r}, expected one above {current.revision}"
                )
            self._revision = max(self._revision, route.revision)
            self._routes = MappingProxyType({**self._routes, route.name: route})

    def replace_all(self, routes: Mapping[str, Route]) -> None:
        """Serve these and no others from the next request on, in one step.

        The table gives the revisions: a route that is as it was keeps its own, each other one has the next revision
        above all that there ever were. Raises ValueError, and changes nothing, for one that could not be resolved.
        """
        for name, route in routes.items():
            _check(name, route)
        with self._writing:
            current, coming = self._routes, self._revision + 1
            served: dict[str, Route] = {}
            for name, route in routes.items():
                kept = name in current and same(current[name], route)
                served[name] = current[name] if kept else replace(route, revision=coming)
            self._revision = max([self._revision, *(route.revision for route in served.values())])
            self._routes = MappingProxyType(served)


def _check(name: str, route: Route) -> None:
    if route.name != name:
        raise ValueError(f"route {route.name!r} under the name {name!r}, expected its own")
    if unknown := sorted(route.weights.keys() - route.variants.keys()):
        raise ValueError(f"route {name!r} weighs unknown variants {', '.join(unknown)}, expected only its own")
    assign(route.salt, "", route.weights)  # raises for weights that cannot be drawn from
