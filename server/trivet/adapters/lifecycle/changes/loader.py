"""Loading: from the source to the engine and back out, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trivet.adapters.lifecycle.changes.entry import AdapterEntry
from trivet.adapters.lifecycle.changes.residency import Residency
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, BackendUnavailable, NotFound
from trivet.types.adapter import AdapterState

LoadObserver = Callable[[str, float], None]


class AdapterLoader:
    """Makes one step after another for an adapter, called in its serial executor, and writes each into its entry.

    At most `max_loads` adapters are fetched, checked and copied at the same time, and as many cold ones added again:
    a slow source does not hold up requests. `on_load` is told of each outcome ("loaded", "reloaded", "rejected",
    "failed") and its seconds, waiting for others included.
    """

    def __init__(
        self, staging: AdapterStaging, residency: Residency, max_loads: int, on_load: LoadObserver | None
    ) -> None:
        self._staging = staging
        self._residency = residency
        self._loads = asyncio.Semaphore(max_loads)
        self._reloads = asyncio.Semaphore(max_loads)
        self._on_load = on_load

    async def bring_up(self, entry: AdapterEntry, digest: str | None, *, must_reside: bool) -> None:
        """Stage it with these bytes (whichever the source has, if None) and add it to the engine.

        Unless it `must_reside`, one for which the engine has no room is ready in its copy alone. What was staged before
        comes back, whatever the source has by now. Raises NotFound, AdapterRejected, BackendUnavailable.
        """
        with self._observed("loaded"):
            try:
                async with self._loads:
                    await self._climb(entry, digest, must_reside)
            except BaseException as problem:
                entry.fail(problem)
                raise

    async def reload(self, entry: AdapterEntry) -> None:
        """Add a cold one to the engine again; callers at the same time share it, and cancelling one stops nothing.

        Its copy is checked first, for what the engine cannot read kills it. Raises what `bring_up` does.
        """
        if entry.reloading is None or entry.reloading.done():
            entry.reloading = asyncio.create_task(self._reload(entry))
            entry.reloading.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(entry.reloading)

    async def take_down(self, entry: AdapterEntry) -> None:
        """Take it out of the engine, then delete its copy: it is not in use, and nothing else may begin to use it."""
        if entry.reloading is not None and not entry.reloading.done():  # for a request that is gone
            await asyncio.wait({entry.reloading})
        try:
            await self._residency.remove(entry)
            await asyncio.to_thread(self._staging.prune, entry.ref)
        except BaseException as problem:
            entry.state, entry.problem = AdapterState.FAILED, str(problem) or type(problem).__name__
            raise
        entry.clear()

    async def give_up(self, entry: AdapterEntry, problem: Exception) -> None:
        """Keep nothing of one that could not be brought up, except, if its files are to blame, why."""
        entry.clear()
        await asyncio.to_thread(self._staging.prune, entry.ref)
        if not isinstance(problem, NotFound | BackendUnavailable):
            entry.fail(problem)

    async def _climb(self, entry: AdapterEntry, digest: str | None, must_reside: bool) -> None:
        entry.problem = ""
        await self._stage(entry, digest)
        entry.state = AdapterState.STAGED
        entry.incarnation = 0
        if must_reside or self._residency.has_room:
            entry.state = AdapterState.WARMING
            await self._residency.add(entry)
        entry.state = AdapterState.READY

    async def _stage(self, entry: AdapterEntry, digest: str | None) -> None:
        staged = entry.staged
        if staged is not None and await asyncio.to_thread(self._staging.is_sound, staged):
            return
        pinned = digest if staged is None else staged.digest
        if pinned is None:
            entry.staged = await asyncio.to_thread(self._staging.stage, entry.ref)
        else:
            entry.staged = await asyncio.to_thread(self._staging.restore, entry.ref, pinned)
        await asyncio.to_thread(self._staging.prune, entry.ref, entry.staged)

    async def _reload(self, entry: AdapterEntry) -> None:
        with self._observed("reloaded"):
            try:
                async with self._reloads:
                    await self._stage(entry, None)
                    await self._residency.add(entry)
            except BackendUnavailable:
                raise  # it is as sound as before, and added for the next request
            except BaseException as problem:
                if entry.state is AdapterState.READY:
                    entry.fail(problem)
                raise

    @contextmanager
    def _observed(self, outcome: str) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            yield
        except BaseException as problem:
            outcome = "rejected" if isinstance(problem, AdapterRejected | NotFound) else "failed"
            raise
        finally:
            if self._on_load is not None:
                self._on_load(outcome, loop.time() - started)
