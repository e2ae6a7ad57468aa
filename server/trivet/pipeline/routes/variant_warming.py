"""Variants that rollouts want are warmed in the background: adapter resident, prefix primed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.errors import BackendUnavailable, TrivetError
from trivet.pipeline.routes.readiness import Bundle, Readiness, bundle_of
from trivet.types.variant import Route, Variant

logger = logging.getLogger(__name__)

RETRY_FIRST, RETRY_MOST = 1.0, 30.0


class VariantWarming:
    """Tries until each of them is warm. All calls come from one event loop; `close` last. `on_warm` is told of each."""

    def __init__(self, adapters: AdapterManager, readiness: Readiness, on_warm: Callable[[], None]) -> None:
        self._adapters = adapters
        self._readiness = readiness
        self._on_warm = on_warm
        self._tasks: dict[Bundle, asyncio.Task[None]] = {}
        self._problems: dict[Bundle, str] = {}

    def only(self, wanted: Iterable[tuple[Route, Variant]]) -> None:
        """Warm those of these that are not, and nothing else any more. Returns at once."""
        bundles = {bundle_of(route, variant): (route, variant) for route, variant in wanted}
        for bundle in self._tasks.keys() - bundles.keys():
            self._tasks.pop(bundle).cancel()
            self._problems.pop(bundle, None)
        for bundle, (route, variant) in bundles.items():
            if bundle not in self._tasks and not self._readiness.is_ready(route, variant):
                self._tasks[bundle] = asyncio.create_task(self._until_warm(bundle, route, variant))

    def reason(self, route: Route, variant: Variant) -> str:
        """Why one is not warm, as far as is known."""
        return self._problems.get(bundle_of(route, variant), "it is being warmed")

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_warm(self, bundle: Bundle, route: Route, variant: Variant) -> None:
        delay = RETRY_FIRST
        while not await self._tried(bundle, route, variant):
            await asyncio.sleep(delay)
            delay = min(2 * delay, RETRY_MOST)
        del self._tasks[bundle]
        self._problems.pop(bundle, None)
        self._on_warm()

    async def _tried(self, bundle: Bundle, route: Route, variant: Variant) -> bool:
        try:
            if variant.adapter is not None:
                await self._adapters.ensure(variant.adapter)
            if not self._readiness.is_ready(route, variant):
                await self._readiness.prime(route, variant)
        except TrivetError as problem:
            if self._problems.get(bundle) != str(problem):
                # Of an engine that starts or restarts its supervisor tells.
                level = logging.DEBUG if isinstance(problem, BackendUnavailable) else logging.WARNING
                logger.log(level, "variant %s/%s is not warm yet: %s", route.name, variant.name, problem)
            self._problems[bundle] = str(problem)
            return False
        return self._readiness.is_ready(route, variant)
