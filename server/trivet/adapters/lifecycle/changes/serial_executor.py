"""The changes of one adapter, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from trivet.types.adapter import AdapterStatus

Change = Callable[[], Coroutine[Any, Any, AdapterStatus]]


class SerialExecutor:
    """Changes run in the order in which they were asked for, whoever asked and whether or not it still waits."""

    def __init__(self) -> None:
        self._last: asyncio.Task[AdapterStatus] | None = None
        self._kind = ""

    @property
    def busy(self) -> bool:
        """A change is under way or waits."""
        return self._last is not None and not self._last.done()

    def submit(self, kind: str, change: Change, done: Callable[[], None]) -> asyncio.Task[AdapterStatus]:
        """The task that makes the change; await it shielded. One of the same kind that comes last is shared.

        `done` is called after it, unless it was shared.
        """
        before = self._last if self.busy else None
        if before is not None and kind == self._kind:
            return before
        task = asyncio.create_task(_after(before, change))
        self._last, self._kind = task, kind

        def ended(task: asyncio.Task[AdapterStatus]) -> None:
            # Its callers may all be gone when it fails; what went wrong is in the adapter's status.
            if not task.cancelled():
                task.exception()
            done()

        task.add_done_callback(ended)
        return task

    async def cancel(self) -> None:
        """Stop what is under way and all that waits; for the end of the process."""
        while self._last is not None and not self._last.done():
            self._last.cancel()
            await asyncio.wait({self._last})


async def _after(before: asyncio.Task[AdapterStatus] | None, change: Change) -> AdapterStatus:
    if before is not None:
        await asyncio.wait({before})
    return await change()
