"""One writer at a time per document."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from weakref import WeakValueDictionary


class Turn:
    """A writer's turn. What it runs with `finish` is done to its end even if the writer is cancelled."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`; when cancelled, it goes on and the turn lasts until its end."""
        self.task = asyncio.create_task(work)
        await asyncio.shield(self.task)


class DocumentLocks:
    """Turns by document id. For one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._unfinished: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def turn(self, document_id: str) -> AsyncIterator[Turn]:
        """Wait for one's turn with a document."""
        lock = self._locks.get(document_id)
        if lock is None:
            lock = self._locks[document_id] = asyncio.Lock()
        await lock.acquire()
        turn = Turn()
        try:
            yield turn
        finally:
            if turn.task is None or turn.task.done():
                lock.release()
            else:
                self._outlive(turn.task, lock)

    async def drain(self) -> None:
        """Wait for work whose writers have gone."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    def _outlive(self, task: asyncio.Task[None], lock: asyncio.Lock) -> None:
        def done(finished: asyncio.Task[None]) -> None:
            self._unfinished.discard(finished)
            lock.release()
            if not finished.cancelled():
                finished.exception()  # nobody waits for it any more

        self._unfinished.add(task)
        task.add_done_callback(done)
