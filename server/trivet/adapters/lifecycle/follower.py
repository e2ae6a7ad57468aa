"""Following what operators ask other gateways of a shared state store for."""

from __future__ import annotations

import asyncio
import logging

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.errors import StateUnavailable

logger = logging.getLogger(__name__)

EVERY = 1.0  # seconds


class DesiredFollower:
    """One task; `start` once, then `close`."""

    def __init__(self, manager: AdapterManager, every: float = EVERY) -> None:
        self._manager = manager
        self._every = every
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._follow(), name="desired adapters")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._manager.follow()
            except StateUnavailable as error:
                logger.debug("desired adapters are not followed for now: %s", error)
            except Exception:
                logger.exception("desired adapters are not followed for now")
