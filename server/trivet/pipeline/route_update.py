"""Other routes under load: warm what is new, flip in one step, let go of what nobody wants any more.

It knows nothing of where the new routes come from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.pipeline.readiness import Readiness, bundle_of
from trivet.routing.differences import differences
from trivet.routing.required import required_adapters
from trivet.routing.table import RouteTable
from trivet.types.variant import Route, Variant, VersionRef


@dataclass(frozen=True, slots=True)
class RouteChange:
    """What a route update did: the table's revision after it, and what differs, a line each; none if nothing does."""

    revision: int
    differences: tuple[str, ...]


class RouteUpdater:
    """Replaces the routes of a table. All calls come from one event loop.

    `wanted` is what the adapters' manager reads; it is kept up here. `on_flip` is told when other routes are served.
    """

    def __init__(
        self,
        table: RouteTable,
        adapters: AdapterManager,
        wanted: dict[VersionRef, list[str]],
        readiness: Readiness,
        on_flip: Callable[[], None],
    ) -> None:
        self._table = table
        self._adapters = adapters
        self._wanted = wanted
        self._readiness = readiness
        self._on_flip = on_flip
        self._turn = asyncio.Lock()

    async def replace(self, routes: Mapping[str, Route], with_it: Callable[[], None] = lambda: None, /) -> RouteChange:
        """Serve these and no others, once every variant that is new or changed is warm; `with_it` is called in the
        same step. One at a time; others wait their turn.

        Requests keep the variant that they resolved, adapter included. Raises what kept a variant from being warm
        (NotFound, AdapterRejected, BackendUnavailable, ...), or ValueError: then the old routes are served on, and
        what was loaded for the new ones is let go of.
        """
        async with self._turn:
            before = self._table.routes
            cold = list(_cold(before, routes))
            try:
                self._want(before, routes)
                await self._warm(cold)
                # From here to the flip nothing else runs: what is warm now is so when it gets traffic.
                for route, variant in cold:
                    self._readiness.require(route, variant)
                self._table.replace_all(routes)
                with_it()
            finally:
                self._want(self._table.routes)
                self._readiness.keep(self._table.routes)
            self._on_flip()
            return RouteChange(self._table.revision, differences(before, routes))

    def _want(self, *tables: Mapping[str, Route]) -> None:
        wanted = required_adapters(*tables)
        self._wanted.clear()
        self._wanted.update(wanted)
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


def _cold(before: Mapping[str, Route], after: Mapping[str, Route]) -> Iterator[tuple[Route, Variant]]:
    """The variants that must be warm before the flip: what has traffic as it is goes on as it is, warm or not."""
    for name, route in after.items():
        old = before.get(name)
        for variant in route.variants.values():
            known = old.variants.get(variant.name) if old is not None else None
            if (
                old is None
                or known is None
                or bundle_of(old, known) != bundle_of(route, variant)
                or (not old.weights[variant.name] and route.weights[variant.name])
            ):
                yield route, variant
