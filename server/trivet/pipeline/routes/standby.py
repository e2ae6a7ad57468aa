"""The arm of a rollout that gets no requests is kept as warm as the one that gets them, for it may get all of them.

The engine forgets the KV blocks that were used longest ago. Computing a prefix again now and then keeps it among the
others, and costs one token and whatever of it had been forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress

from trivet.errors import TrivetError
from trivet.pipeline.routes.readiness import Readiness
from trivet.routing.required import required_variants
from trivet.routing.table import RouteTable
from trivet.types.variant import Route, Variant

logger = logging.getLogger(__name__)

INTERVAL = 20.0  # seconds


class Standby:
    """Primes idle arms again every `interval` seconds, one after another, from `start` to `close`."""

    def __init__(self, routes: RouteTable, readiness: Readiness, interval: float = INTERVAL) -> None:
        self._routes = routes
        self._readiness = readiness
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Do so from now on."""
        self._task = asyncio.create_task(self._keep_warm(), name="standby of rollouts")

    async def close(self) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep_warm(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            for route, variant in list(self._idle()):
                try:
                    await self._readiness.prime(route, variant)
                except TrivetError as problem:
                    logger.warning("variant %s/%s could not be kept warm: %s", route.name, variant.name, problem)

    def _idle(self) -> Iterator[tuple[Route, Variant]]:
        """Arms that were warmed, have no share, and belong to a rollout that runs."""
        for route in self._routes.routes.values():
            if route.rollout is None or len(route.rollout.arms) < 2:
                continue
            for variant in required_variants(route):
                if not route.weights[variant.name] and self._readiness.is_ready(route, variant):
                    yield route, variant
