"""The routes of this gateway, as rollouts see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from trivet.errors import UnknownRoute
from trivet.pipeline.routes.route_update import RouteUpdater
from trivet.routing.table import RouteTable
from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route


class ServedRoutes:
    """Implements `trivet.rollouts.control.follower.Steered`. `snapshots` gives the live one of each index."""

    def __init__(self, table: RouteTable, updater: RouteUpdater, snapshots: Callable[[], Mapping[str, str]]) -> None:
        self._table = table
        self._updater = updater
        self._snapshots = snapshots

    def steer(self, rollouts: Mapping[str, RouteRollout | None], revisions: Mapping[str, int]) -> Mapping[str, str]:
        """Serve these rollouts at once; why a route is held at stable, by route."""
        return self._updater.steer(rollouts, revisions)

    def spec_digests(self) -> Mapping[str, str]:
        """Of the rollouts in the configuration, by route."""
        return {
            name: route.rollout.spec_digest for name, route in self._table.routes.items() if route.rollout is not None
        }

    def applied(self) -> Mapping[str, int]:
        """The revision that is served, by route."""
        return {name: route.revision for name, route in self._table.routes.items() if route.rollout is not None}

    def unready(self, route: str) -> str:
        """Why a variant that the route's rollout needs is not warm; empty if all are."""
        try:
            return self._updater.unready(route)
        except UnknownRoute:
            return "is not served here"

    def snapshots(self) -> Mapping[str, str]:
        """The live snapshots of the indexes that the arms use, by route."""
        live = self._snapshots()
        return {
            name: " ".join(f"{index}:{live[index]}" for index in sorted(_indexes(route)) if index in live)
            for name, route in self._table.routes.items()
            if route.rollout is not None
        }


def _indexes(route: Route) -> set[str]:
    assert route.rollout is not None
    arms = (route.variants[name].retrieval for name in (route.rollout.stable, route.rollout.candidate))
    return {
        index
        for settings in arms
        if settings is not None
        for index in (settings.index, None if settings.few_shot is None else settings.few_shot.index)
        if index is not None
    }
