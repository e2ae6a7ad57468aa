"""Health that follows the engines: SERVING while the server runs and any variant can be served."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from trivet.rpc.server import Health

logger = logging.getLogger(__name__)


class HealthFollower:
    """`changed` may be called at any time; what is told is decided anew each time, by one task: never out of order."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None

    async def start(self, can_serve: Callable[[], bool]) -> None:
        """Tell how it is now, and from now on."""
        ready = can_serve()
        await self._health.set_ready(ready)
        self._following = asyncio.create_task(self._follow(can_serve, ready))

    def changed(self) -> None:
        """What can be served may be different by now."""
        self._changed.set()

    async def stop(self) -> None:
        """Tell NOT_SERVING, for good."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
        await self._health.set_ready(False)

    async def _follow(self, can_serve: Callable[[], bool], told: bool) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            ready = can_serve()
            if ready is not told:
                logger.warning("serving again" if ready else "not serving: no variant is ready")
                await self._health.set_ready(ready)
            told = ready
