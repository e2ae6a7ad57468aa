"""Retries with exponential backoff for adapters that could not be loaded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from trivet.types.variant import VersionRef

logger = logging.getLogger(__name__)


class BackoffRetry:
    """Attempts for each adapter until one succeeds; the waits between them double from `first` to `most` seconds."""

    def __init__(self, attempt: Callable[[VersionRef], Awaitable[object]], first: float, most: float) -> None:
        self._attempt = attempt
        self._first = first
        self._most = most
        self._tasks: dict[VersionRef, asyncio.Task[None]] = {}

    def start(self, ref: VersionRef) -> None:
        """Try it now, also where the next attempt was due later."""
        self.stop(ref)
        task = self._tasks[ref] = asyncio.create_task(self._go_on(ref))
        task.add_done_callback(lambda task: self._ended(ref, task))

    def stop(self, ref: VersionRef) -> None:
        """Try it no more; an attempt under way is finished."""
        task = self._tasks.pop(ref, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Try nothing any more."""
        tasks = list(self._tasks.values())
        for ref in list(self._tasks):
            self.stop(ref)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, ref: VersionRef, task: asyncio.Task[None]) -> None:
        if self._tasks.get(ref) is task:
            del self._tasks[ref]

    async def _go_on(self, ref: VersionRef) -> None:
        delay = self._first
        while True:
            try:
                await self._attempt(ref)
                return
            except Exception as problem:  # whatever it was, it is in the adapter's status, and the request stands
                logger.warning("adapter %s could not be loaded, next attempt in %.3g s: %s", ref, delay, problem)
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._most)
