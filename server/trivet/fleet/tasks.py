"""Work in the background, of one owner."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from trivet.errors import TrivetError

logger = logging.getLogger(__name__)


class Tasks:
    """Keeps tasks alive, and logs what failed in them. Call everything from one event loop."""

    def __init__(self, owner: str) -> None:
        """`owner`: whose they are, for the log."""
        self._owner = owner
        self._running: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Cancel all, and wait for their ends."""
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            known = isinstance(problem, TrivetError)
            logger.warning("%s: %s", self._owner, problem, exc_info=None if known else problem)
