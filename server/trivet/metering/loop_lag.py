"""How late the event loop is: what holds it up holds up every stream and every deadline of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

INTERVAL = 0.05  # seconds


class LoopLag:
    """Asks to be woken every `interval` seconds and tells `observe` how many seconds late that was."""

    def __init__(self, observe: Callable[[float], None], interval: float = INTERVAL) -> None:
        self._observe = observe
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch the running event loop until `close`."""
        self._task = asyncio.create_task(self._watch(), name="event loop lag")

    async def close(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._interval
            await asyncio.sleep(self._interval)
            self._observe(max(0.0, clock() - due))
