"""Other routes under load: warm what is new, flip in one step, let go of what nobody wants any more.

It knows nothing of where the new routes come from. There are two ways in: `replace` for what the file says, which waits
until all of it is warm, and `steer` for what a rollout says, which only changes shares and never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.pipeline.routes.readiness import Readiness, bundle_of
from trivet.pipeline.routes.variant_warming import VariantWarming
from trivet.routing.differences import differences
from trivet.routing.required import pinned_adapters, required_adapters, required_variants
from trivet.routing.steering import Steering, stable_alone, steered
from trivet.routing.table import RouteTable
from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route, Variant


@dataclass(frozen=True, slots=True)
class RouteChange:
    """What a route update did: the table's revision after it, and what differs, a line each; none if nothing does."""

    revision: int
    differences: tuple[str, ...]


class RouteUpdater:
    """Replaces the routes of a table. All calls come from one event loop; `close` last.

    `demand` is what the adapters' manager reads; it is kept up here. `on_flip` is told when other routes are served.
    """

    def __init__(
        self,
        table: RouteTable,
        adapters: AdapterManager,
        demand: AdapterDemand,
        readiness: Readiness,
        on_flip: Callable[[], None],
    ) -> None:
        self._table = table
        self._adapters = adapters
        self._demand = demand
        self._readiness = readiness
        self._warming = VariantWarming(adapters, readiness, self._served_again)
        self._on_flip = on_flip
        self._turn = asyncio.Lock()
        self._declared: Mapping[str, Route] = table.routes
        self._coming: Mapping[str, Route] = {}
        self._steering: dict[str, Steering] = {}
        self._held: Mapping[str, str] = {}

    async def close(self) -> None:
        """Stop what is being warmed."""
        await self._warming.close()

    async def replace(self, routes: Mapping[str, Route], with_it: Callable[[], None] = lambda: None, /) -> RouteChange:
        """Serve these and no others, once every variant that is new or changed is warm; `with_it` is called in the
        same step. One at a time; others wait their turn.

        The routes carry the revisions of what the file says; those of rollouts that were steered stand above them, and
        so do their shares. Requests keep the variant that they resolved, adapter included. Raises what kept a variant
        from being warm (NotFound, AdapterRejected, BackendUnavailable, ...), or ValueError: then the old routes are
        served on, and what was loaded for the new ones is let go of.
        """
        async with self._turn:
            before = self._declared
            cold = list(_cold(self._table.routes, self._steered(routes)))
            self._coming = routes
            try:
                self._want()
                await self._warm(cold)
                # From here to the flip nothing else runs: what is warm now is so when it gets traffic.
                for route, variant in cold:
                    self._readiness.require(route, variant)
                self._serve(routes)
                self._declared = routes
                with_it()
            finally:
                self._coming = {}
                self._want()
            self._warm_later()
            self._on_flip()
            return RouteChange(self._table.revision, differences(before, routes))

    def steer(self, rollouts: Mapping[str, RouteRollout | None], revisions: Mapping[str, int]) -> Mapping[str, str]:
        """Give these routes' units to the arms as their rollouts say, at once, whatever else is being loaded.

        `revisions`: the store's, for each of these routes; one below what was steered before changes nothing. A
        candidate that is not warm here gets no units until it is: then all of them have stable, at revision 0. Returns
        for each such route of the table why. What begins to be wanted is warmed in the background.
        """
        for name, rollout in rollouts.items():
            revision = revisions.get(name, 0)
            if name not in self._steering or revision >= self._steering[name].revision:
                self._steering[name] = Steering(rollout, revision)
        self._served_again()
        self._warm_later()
        return self._held

    def unready(self, route_name: str) -> str:
        """Why a variant that the route's rollout may send units to is not warm here; empty if all are.

        Raises UnknownRoute.
        """
        route = self._table.route(route_name)
        cold = [variant for variant in required_variants(route) if not self._readiness.is_ready(route, variant)]
        return "; ".join(f"{variant.name}: {self._warming.reason(route, variant)}" for variant in cold)

    def _served_again(self) -> None:
        before = self._table.routes
        self._serve(self._declared)
        if self._table.routes != before:
            self._want()
            self._on_flip()

    def _serve(self, declared: Mapping[str, Route]) -> None:
        held: dict[str, str] = {}
        now, served = self._table.routes, self._steered(declared)
        for name, route in served.items():
            if not self._may_flip(now.get(name), route):
                assert route.rollout is not None
                held[name] = f"candidate {route.rollout.candidate} is not warm"
                served[name] = stable_alone(route)
        self._table.replace(served)
        self._held = held

    def _may_flip(self, now: Route | None, route: Route) -> bool:
        """Whether the candidate is warm, gets no units, has units as it is already, or has all of them for good."""
        rollout = route.rollout
        if rollout is None or not rollout.share or len(rollout.arms) < 2:
            return True
        candidate = route.variants[rollout.candidate]
        if self._readiness.is_ready(route, candidate):
            return True
        known = None if now is None else now.variants.get(candidate.name)
        if now is None or known is None:
            return False
        return now.weights[candidate.name] > 0 and bundle_of(now, known) == bundle_of(route, candidate)

    def _steered(self, routes: Mapping[str, Route]) -> dict[str, Route]:
        return {name: steered(route, self._steering.get(name, Steering())) for name, route in routes.items()}

    def _want(self) -> None:
        tables = (self._table.routes, self._steered(self._coming))
        self._demand.change(required_adapters(*tables), pinned_adapters(self._table.routes))
        self._readiness.keep(*tables)
        self._adapters.review()

    async def _warm(self, cold: list[tuple[Route, Variant]]) -> None:
        adapters = {variant.adapter for _, variant in cold if variant.adapter is not None}
        results = await asyncio.gather(*map(self._adapters.ensure, sorted(adapters)), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        for route, variant in cold:
            if not self._readiness.is_ready(route, variant):
                await self._readiness.prime(route, variant)

    def _warm_later(self) -> None:
        """What rollouts have come to want, and a reload did not wait for."""
        self._warming.only(
            (route, variant)
            for route in self._table.routes.values()
            if route.rollout is not None and route.rollout.id
            for variant in required_variants(route)
        )


def _cold(before: Mapping[str, Route], after: Mapping[str, Route]) -> Iterator[tuple[Route, Variant]]:
    """The variants that must be warm before the flip: what has traffic as it is goes on as it is, warm or not."""
    for name, route in after.items():
        old = before.get(name)
        for variant in required_variants(route):
            known = old.variants.get(variant.name) if old is not None else None
            if (
                old is None
                or known is None
                or bundle_of(old, known) != bundle_of(route, variant)
                or (not old.weights[variant.name] and route.weights[variant.name])
            ):
                yield route, variant
