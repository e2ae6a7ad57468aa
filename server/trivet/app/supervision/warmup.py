"""What an engine that has just started is made to serve: adapters resident, prefixes primed."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.errors import TrivetError
from trivet.pipeline.routes.readiness import Readiness
from trivet.routing.required import required_variants
from trivet.routing.table import RouteTable
from trivet.types.variant import Route, Variant


class Warmup:
    """Makes the variants of a backend ready, as often as it takes. `adapter_backend`: the one that has the adapters."""

    def __init__(
        self, routes: RouteTable, adapters: AdapterManager, readiness: Readiness, adapter_backend: str
    ) -> None:
        self._routes = routes
        self._adapters = adapters
        self._readiness = readiness
        self._adapter_backend = adapter_backend

    async def prepare(self, backend: str) -> list[str]:
        """Try all that is not ready; what could not be made so, and why. One bad adapter keeps nobody else waiting."""
        problems = []
        if backend == self._adapter_backend:
            try:
                await self._adapters.reconcile()
            except TrivetError as problem:
                problems.append(str(problem))
        for route, variant in self._variants(backend):
            if self._readiness.is_ready(route, variant):
                continue
            try:
                await self._readiness.prime(route, variant)
            except TrivetError as problem:
                problems.append(f"variant {route.name}/{variant.name} is not ready: {problem}")
        return problems

    def summary(self, backend: str) -> str:
        """How many of its variants are ready, in words."""
        ready = [self._readiness.is_ready(route, variant) for route, variant in self._variants(backend)]
        return f"{sum(ready)} of {len(ready)} variants warm"

    def can_serve(self) -> bool:
        """Whether any variant that gets traffic is ready, on any backend."""
        return any(
            route.weights[name] > 0 and self._readiness.is_ready(route, variant)
            for route in self._routes.routes.values()
            for name, variant in route.variants.items()
        )

    def _variants(self, backend: str) -> Iterator[tuple[Route, Variant]]:
        for route in self._routes.routes.values():
            for variant in required_variants(route):
                if variant.backend == backend:
                    yield route, variant
