"""The adapters of one backend: loaded on wish, leased to requests, drained before they go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging import AdapterStaging
from trivet.errors import AdapterRejected, BackendUnavailable, FailedPrecondition, NotFound, TrivetError
from trivet.ports import Backend
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier, StagedAdapter
from trivet.types.variant import VersionRef

RETRY_AFTER = 1.0
LoadObserver = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class AdapterLease:
    """A resident adapter that stays so for as long as the lease is held."""

    ref: VersionRef
    engine_name: str
    digest: str


@dataclass(slots=True)
class _Entry:
    """The books about one adapter. `change` is the load or the unload in flight."""

    ref: VersionRef
    state: AdapterState = AdapterState.REGISTERED
    staged: StagedAdapter | None = None
    problem: str = ""
    incarnation: int = 0
    leases: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    change: asyncio.Task[AdapterStatus] | None = None


class AdapterManager:
    """Call everything from one event loop.

    `wanted` names, for each adapter, the routes or variants that use it; it is read at every call, so it may be live.
    `on_load` is told of each load's outcome ("loaded", "rejected", "failed") and seconds.
    """

    def __init__(
        self,
        settings: AdapterSettings,
        backend: Backend,
        wanted: Mapping[VersionRef, Sequence[str]],
        on_load: LoadObserver | None = None,
    ) -> None:
        self._backend = backend
        self._wanted = wanted
        self._on_load = on_load
        self._staging = AdapterStaging(settings)
        self._entries: dict[VersionRef, _Entry] = {}
        self._swept = False

    async def load_wanted(self) -> None:
        """Bring up all that is wanted, and after a restart of the engine all that was loaded.

        The first call also deletes what former processes left half-written or unwanted. Tries every adapter and then
        raises the first problem.
        """
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(self._staging.sweep, set(self._wanted))
        loaded = {ref for ref, entry in self._entries.items() if entry.state is not AdapterState.DRAINING}
        problems = []
        for ref in sorted({*self._wanted, *loaded}):
            try:
                await self.load(ref)
            except TrivetError as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    async def load(self, ref: VersionRef) -> AdapterStatus:
        """Check, copy and load it; fine if it is loaded already. Callers at the same time share one load.

        Cancelling one of them does not stop it. Raises NotFound, AdapterRejected, BackendUnavailable, and
        FailedPrecondition if it is loaded and the folder has other bytes by now.
        """
        entry = self._entries.get(ref)
        while entry is not None and entry.state is AdapterState.DRAINING and entry.change is not None:
            await asyncio.wait({entry.change})
            entry = self._entries.get(ref)
        if entry is not None and entry.change is None and self._resident(entry):
            return await self._confirm(entry)
        if entry is None:
            entry = self._entries[ref] = _Entry(ref)
        if entry.change is None:
            self._begin(entry, self._bring_up(entry))
        return await self._outcome(entry)

    async def unload(self, ref: VersionRef) -> AdapterStatus:
        """Let what uses it finish, take it out of the engine and delete its copy.

        Raises NotFound if it is not loaded, and FailedPrecondition, naming who wants it, if anything does.
        """
        users = self._wanted.get(ref)
        if users:
            raise FailedPrecondition(f"adapter {ref} is wanted by {', '.join(users)}")
        entry = self._entries.get(ref)
        if entry is None:
            raise NotFound(f"adapter {ref} is not loaded")
        if entry.state is not AdapterState.DRAINING:
            if entry.change is not None:
                await asyncio.wait({entry.change})
                return await self.unload(ref)
            entry.state = AdapterState.DRAINING
            self._begin(entry, self._take_down(entry))
        return await self._outcome(entry)

    @asynccontextmanager
    async def acquire(self, ref: VersionRef | None) -> AsyncIterator[AdapterLease | None]:
        """Hold an adapter for one request; None, for the base model, holds nothing.

        Raises NotFound if nobody asked for it to be loaded, BackendUnavailable if it is not resident right now.
        """
        if ref is None:
            yield None
            return
        entry = self._entries.get(ref)
        if entry is None and ref not in self._wanted:
            raise NotFound(f"adapter {ref} is not loaded")
        if entry is None or entry.staged is None or not self._resident(entry):
            raise BackendUnavailable(f"adapter {ref} is {self._why_not(entry)}", RETRY_AFTER)
        entry.leases += 1
        try:
            yield AdapterLease(ref, entry.staged.engine_name, entry.staged.digest)
        finally:
            entry.leases -= 1
            if not entry.leases:
                entry.idle.set()

    def list(self) -> list[AdapterStatus]:
        """Every adapter that is loaded, wanted, or there in the adapters' folders, by name."""
        refs = {*self._entries, *self._wanted, *self._staging.known()}
        return [self._status(self._entries.get(ref) or _Entry(ref)) for ref in sorted(refs)]

    def _begin(self, entry: _Entry, change: Coroutine[Any, Any, AdapterStatus]) -> None:
        entry.change = asyncio.create_task(change)
        # Its callers may all be gone when it fails; the problem is in the books.
        entry.change.add_done_callback(lambda task: task.cancelled() or task.exception())

    @staticmethod
    async def _outcome(entry: _Entry) -> AdapterStatus:
        assert entry.change is not None
        return await asyncio.shield(entry.change)

    async def _confirm(self, entry: _Entry) -> AdapterStatus:
        assert entry.staged is not None
        found = await asyncio.to_thread(self._staging.source_digest, entry.ref)
        if found not in (None, entry.staged.digest):
            raise FailedPrecondition(
                f"adapter {entry.ref} is loaded with digest {entry.staged.digest[:12]}, and its folder has "
                f"{str(found)[:12]} by now: give other weights a version of their own, or unload it first"
            )
        return self._status(entry)

    async def _bring_up(self, entry: _Entry) -> AdapterStatus:
        loop = asyncio.get_running_loop()
        started, outcome = loop.time(), "failed"
        entry.problem = ""
        try:
            await self._stage(entry)
            await self._warm(entry)
            outcome = "loaded"
        except BaseException as problem:
            outcome = "rejected" if isinstance(problem, AdapterRejected | NotFound) else "failed"
            entry.problem = str(problem) or type(problem).__name__
            entry.state = AdapterState.FAILED
            if entry.staged is None and entry.ref not in self._wanted:
                del self._entries[entry.ref]
            raise
        finally:
            entry.change = None
            if self._on_load is not None:
                self._on_load(outcome, loop.time() - started)
        return self._status(entry)

    async def _stage(self, entry: _Entry) -> None:
        """After a restart of the engine the bytes that were loaded come back, whatever the folder has by now."""
        staged = entry.staged
        if staged is None or not await asyncio.to_thread(self._staging.is_sound, staged):
            entry.staged = None
            entry.staged = await asyncio.to_thread(self._staging.stage, entry.ref)
        entry.state = AdapterState.STAGED

    async def _warm(self, entry: _Entry) -> None:
        assert entry.staged is not None
        entry.state = AdapterState.WARMING
        incarnation = self._backend.incarnation
        try:
            await self._backend.load_adapter(entry.staged)
        except AdapterRejected:
            staged, entry.staged = entry.staged, None
            await asyncio.to_thread(self._staging.discard, staged)
            raise
        entry.incarnation = incarnation
        entry.state = AdapterState.READY

    async def _take_down(self, entry: _Entry) -> AdapterStatus:
        try:
            while entry.leases:
                entry.idle.clear()
                await entry.idle.wait()
            if entry.staged is not None:
                await self._backend.unload_adapter(entry.staged.engine_name)
                await asyncio.to_thread(self._staging.discard, entry.staged)
        except BaseException as problem:
            entry.state, entry.problem = AdapterState.FAILED, str(problem) or type(problem).__name__
            raise
        finally:
            entry.change = None
        del self._entries[entry.ref]
        return self._status(_Entry(entry.ref))

    def _resident(self, entry: _Entry) -> bool:
        return (
            entry.state is AdapterState.READY and entry.incarnation == self._backend.incarnation and self._backend.ready
        )

    def _why_not(self, entry: _Entry | None) -> str:
        if not self._backend.ready:
            return "not resident: the engine is not ready"
        if entry is None:
            return "not loaded yet"
        return f"{entry.state.value}: {entry.problem}" if entry.problem else self._status(entry).state.value

    def _status(self, entry: _Entry) -> AdapterStatus:
        resident = self._resident(entry) or entry.state is AdapterState.DRAINING
        tier = AdapterTier.DISK
        if resident:
            tier = AdapterTier.LEASED if entry.leases else AdapterTier.HOST
        stale = entry.state is AdapterState.READY and not resident
        staged = entry.staged
        return AdapterStatus(
            ref=entry.ref,
            state=AdapterState.STAGED if stale else entry.state,
            tier=tier,
            engine_name=staged.engine_name if staged else "",
            digest=staged.digest if staged else "",
            rank=staged.rank if staged else 0,
            problem=entry.problem,
        )
