"""One writer at a time per document, and none while the live snapshot is swapped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from trivet.stores.records import DocumentKey

ResultT = TypeVar("ResultT")


class HeldLock:
    """A document's lock, held by one writer. `finish` runs work to its end even if the writer is cancelled."""

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None

    async def finish(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run `work`; when cancelled, it goes on and the lock is held until its end."""
        task = self.task = asyncio.create_task(work)
        return await asyncio.shield(task)


class DocumentLocks:
    """A lock for each document. For one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[DocumentKey, asyncio.Lock] = WeakValueDictionary()
        self._unfinished: set[asyncio.Task[Any]] = set()

    @contextlib.asynccontextmanager
    async def hold(self, key: DocumentKey) -> AsyncIterator[HeldLock]:
        """Wait for a document's lock and hold it."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        await lock.acquire()
        held = HeldLock()
        try:
            yield held
        finally:
            if held.task is None or held.task.done():
                lock.release()
            else:
                self._outlive(held.task, lock)

    def held(self, key: DocumentKey) -> bool:
        """Somebody here has it."""
        lock = self._locks.get(key)
        return lock is not None and lock.locked()

    async def drain(self) -> None:
        """Wait for work whose writers have gone."""
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    def _outlive(self, task: asyncio.Task[Any], lock: asyncio.Lock) -> None:
        def done(finished: asyncio.Task[Any]) -> None:
            self._unfinished.discard(finished)
            lock.release()
            if not finished.cancelled():
                finished.exception()  # nobody waits for it any more

        self._unfinished.add(task)
        task.add_done_callback(done)


class SharedExclusiveLock:
    """Held by many at a time, or by one alone: whoever comes while one waits to be alone waits behind it."""

    def __init__(self) -> None:
        self._holders = 0
        self._empty = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    @contextlib.asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold it with others."""
        while not self._open.is_set():
            await self._open.wait()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._empty.set()

    @contextlib.asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold it with nobody else."""
        while not self._open.is_set():
            await self._open.wait()
        self._open.clear()
        try:
            while self._holders:
                self._empty.clear()
                await self._empty.wait()
            yield
        finally:
            self._open.set()
