"""The adapters of one backend: what should be loaded, by routes and operators, against what is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.entry import AdapterEntry
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.loader import AdapterLoader, LoadObserver
from trivet.adapters.lifecycle.residency import Residency
from trivet.adapters.lifecycle.retry import BackoffRetry
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import BackendUnavailable, FailedPrecondition, NotFound, StateUnavailable, TrivetError
from trivet.ports import Backend, DesiredAdapterStore
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier, DesiredAdapter, StagedAdapter, engine_name
from trivet.types.variant import VersionRef

RETRY_AFTER = 1.0


class AdapterManager:
    """Call everything from one event loop; `close` last.

    `demand` names, for each adapter, the variants that use it; it is read at every call, so it may be live: call
    `reconcile` when it has changed. `desired` is what operators asked for, durably. Cancelling a caller stops nothing:
    what was ordered is done, one change at a time for each adapter.
    """

    def __init__(
        self,
        staging: AdapterStaging,
        backend: Backend,
        demand: AdapterDemand,
        desired: DesiredAdapterStore,
        settings: LifecycleSettings | None = None,
        on_load: LoadObserver | None = None,
    ) -> None:
        settings = settings or LifecycleSettings()
        self._staging = staging
        self._backend = backend
        self._wanted = demand.users
        self._desired = desired
        self._residency = Residency(backend, settings.host_places, demand)
        self._loader = AdapterLoader(staging, self._residency, settings.max_loads, on_load)
        self._retry = BackoffRetry(self._bring_back, settings.retry_first, settings.retry_most)
        self._entries: dict[VersionRef, AdapterEntry] = {}
        self._requested: dict[VersionRef, str] = {}
        self._opening = asyncio.Lock()
        self._opened = False

    async def reconcile(self) -> None:
        """Load what is desired and not loaded, unload what is no longer desired.

        To be called at the start, after a restart of the engine and when the demand has changed. Returns when what
        variants want is ready; what operators requested follows in the background, as do drains. What fails is retried
        for as long as it is expected; the first problem of a variant's adapter is raised after all were tried.
        Raises StateUnavailable, after the same, if what operators requested could not be read.
        """
        unread = await self._try_to_open()
        self.review()
        wanted = sorted(self._wanted)
        results = await asyncio.gather(*map(self._bring_back, wanted), return_exceptions=True)
        problems = {ref: result for ref, result in zip(wanted, results, strict=True) if isinstance(result, Exception)}
        for ref in (*problems, *(ref for ref in self._requested if ref not in self._wanted)):
            self._retry.start(ref)
        for problem in (*problems.values(), *unread):
            raise problem

    def review(self) -> None:
        """Look at the demand anew: what nobody wants drains and goes, in the background.

        What drains and is wanted again stays. Loads nothing: `ensure` does, or `reconcile`.
        """
        for ref, entry in list(self._entries.items()):
            if not self._expected(ref):
                self._submit(entry, "release", self._release)
            elif ref in self._wanted:
                entry.idle.set()

    async def ensure(self, ref: VersionRef) -> AdapterStatus:
        """Load one that is wanted, if it is not ready; raises what keeps it from that."""
        await self._try_to_open()
        return await self._bring_back(ref)

    async def load(self, ref: VersionRef) -> AdapterStatus:
        """An operator's request: check, copy and load it, and record that it is to stay. Fine if it is ready already.

        It is recorded durably, with the digest of its bytes, once it is loaded. Callers at the same time share one
        load. Raises NotFound, AdapterRejected, BackendUnavailable, StateUnavailable, and FailedPrecondition if it is
        loaded and its source has other bytes by now.
        """
        await self._open()
        return await asyncio.shield(self._submit(self._entry(ref), "load", self._load))

    async def unload(self, ref: VersionRef) -> AdapterStatus:
        """Withdraw the operator's request, durably; let what uses it finish, unload it, delete its copy.

        Raises NotFound if nobody asked for it, StateUnavailable, and FailedPrecondition if variants want it: then
        nothing has changed, the request included. If they begin to want it while it drains it stays, without a request.
        """
        await self._open()
        return await asyncio.shield(self._submit(self._entry(ref), "unload", self._unload))

    @asynccontextmanager
    async def acquire(self, ref: VersionRef | None) -> AsyncIterator[AdapterLease | None]:
        """Hold an adapter for one request; None, for the base model, holds nothing.

        One that gave way to others is added to the engine again first. Raises NotFound if nobody asked for it to be
        loaded, BackendUnavailable if it is not ready now.
        """
        if ref is None:
            yield None
            return
        entry = self._available(ref)
        entry.leases += 1
        try:
            await self._make_resident(entry)
            assert entry.staged is not None
            yield AdapterLease(ref, entry.staged.engine_name, entry.staged.digest)
        finally:
            entry.release()
            self._residency.touch(entry)

    async def source_digest(self, ref: VersionRef) -> str | None:
        """SHA-256 of the adapter's files where they come from; None if they cannot be read now."""
        return await asyncio.to_thread(self._staging.source_digest, ref)

    def gave_way(self, ref: VersionRef) -> bool:
        """Whether it is in no engine now, and the next request that acquires it waits until it is."""
        entry = self._entries.get(ref)
        return entry is not None and entry.cold

    def statuses(self) -> list[AdapterStatus]:
        """Every adapter that is loaded, expected or has failed, by name; out of what the manager knows alone."""
        return [self._status(entry) for _, entry in sorted(self._known_entries().items())]

    async def list(self) -> list[AdapterStatus]:
        """Every adapter that is loaded, expected, or there in the sources, by name; looks into the sources once."""
        known = await asyncio.to_thread(self._staging.known)
        blank = {ref: AdapterEntry(ref) for ref in known}
        return [self._status(entry) for _, entry in sorted({**blank, **self._known_entries()}.items())]

    async def close(self) -> None:
        """Stop what is under way. What is half-done is undone at the next start; the desired state is whole."""
        self._staging.stop()
        await self._retry.close()
        await self._residency.close()
        await asyncio.gather(*[entry.cancel() for entry in list(self._entries.values())])

    async def _try_to_open(self) -> Sequence[StateUnavailable]:
        """What variants want does not wait for a state store that is away; what kept it from being read."""
        try:
            await self._open()
        except StateUnavailable as problem:
            return [problem]
        return []

    async def _open(self) -> None:
        """Read the desired state, and delete what former processes left half-written or is expected no more."""
        async with self._opening:
            if self._opened:
                return
            requested = {one.ref: one.digest for one in await self._desired.all(self._backend.name)}
            kept = {engine_name(ref, digest) for ref, digest in requested.items()}
            wanted = set(self._wanted)
            await asyncio.to_thread(self._staging.sweep, wanted, kept)
            for ref in wanted:
                self._entry(ref)  # so that a copy goes with the last one who wants it, also before it is loaded
            self._requested = requested
            self._opened = True

    def _expected(self, ref: VersionRef) -> bool:
        return ref in self._wanted or ref in self._requested

    def _entry(self, ref: VersionRef) -> AdapterEntry:
        return self._entries.setdefault(ref, AdapterEntry(ref))

    def _submit(
        self, entry: AdapterEntry, kind: str, change: Callable[[AdapterEntry], Coroutine[Any, Any, AdapterStatus]]
    ) -> asyncio.Task[AdapterStatus]:
        return entry.changes.submit(kind, partial(change, entry), lambda: self._forget(entry))

    def _forget(self, entry: AdapterEntry) -> None:
        if entry.blank and not entry.changes.busy and self._entries.get(entry.ref) is entry:
            del self._entries[entry.ref]

    async def _bring_back(self, ref: VersionRef) -> AdapterStatus:
        return await asyncio.shield(self._submit(self._entry(ref), "bring back", self._restore))

    def _ready(self, entry: AdapterEntry) -> bool:
        return entry.state is AdapterState.READY and (entry.cold or self._residency.holds(entry))

    def _available(self, ref: VersionRef) -> AdapterEntry:
        entry = self._entries.get(ref)
        state = AdapterState.REGISTERED if entry is None else entry.state
        if not self._expected(ref) and state in (AdapterState.REGISTERED, AdapterState.FAILED):
            raise NotFound(f"adapter {ref} is not loaded")
        if not self._backend.ready:
            raise BackendUnavailable(f"adapter {ref} is not resident: the engine is not ready", RETRY_AFTER)
        if entry is None:
            raise BackendUnavailable(f"adapter {ref} is not loaded yet", RETRY_AFTER)
        if not self._ready(entry):
            why = f"{state.value}: {entry.problem}" if entry.problem else self._status(entry).state.value
            verb = "has" if why.startswith(AdapterState.FAILED.value) else "is"
            raise BackendUnavailable(f"adapter {ref} {verb} {why}", RETRY_AFTER)
        return entry

    async def _make_resident(self, entry: AdapterEntry) -> None:
        if entry.cold:
            try:
                await self._loader.reload(entry)
            except BackendUnavailable:
                raise
            except Exception as problem:
                if self._expected(entry.ref):
                    self._retry.start(entry.ref)
                raise BackendUnavailable(f"adapter {entry.ref} has failed: {problem}", RETRY_AFTER) from problem
        if not self._residency.holds(entry):
            raise BackendUnavailable(f"adapter {entry.ref} is not resident: the engine died", RETRY_AFTER)
        self._residency.touch(entry)

    def _known_entries(self) -> dict[VersionRef, AdapterEntry]:
        return {ref: AdapterEntry(ref) for ref in (*self._wanted, *self._requested)} | self._entries

    def _status(self, entry: AdapterEntry) -> AdapterStatus:
        tier, state, staged = AdapterTier.DISK, entry.state, entry.staged
        if self._residency.holds(entry):
            tier = AdapterTier.LEASED if entry.leases else AdapterTier.HOST
        elif state is AdapterState.READY and not (entry.cold and self._backend.ready):
            state = AdapterState.STAGED
        return AdapterStatus(
            ref=entry.ref,
            state=state,
            tier=tier,
            engine_name=staged.engine_name if staged else "",
            digest=staged.digest if staged else "",
            rank=staged.rank if staged else 0,
            problem=entry.problem,
            requested=entry.ref in self._requested,
            fetch=self._staging.progress(entry.ref),
        )

    # What follows runs in the adapter's serial executor.

    async def _load(self, entry: AdapterEntry) -> AdapterStatus:
        if self._ready(entry) and entry.staged is not None:
            await self._confirm(entry.staged)
            if entry.cold:
                await self._loader.reload(entry)
        else:
            await self._bring_up(entry, must_reside=True)
        assert entry.staged is not None
        if self._requested.get(entry.ref) != entry.staged.digest:
            await self._record(entry, entry.staged.digest)
        return self._status(entry)

    async def _record(self, entry: AdapterEntry, digest: str) -> None:
        try:
            await self._desired.record(self._backend.name, DesiredAdapter(entry.ref, digest))
        except TrivetError:
            if not self._expected(entry.ref):
                await self._drain(entry)
            raise
        self._requested[entry.ref] = digest

    async def _confirm(self, staged: StagedAdapter) -> None:
        found = await asyncio.to_thread(self._staging.source_digest, staged.ref)
        if found not in (None, staged.digest):
            raise FailedPrecondition(
                f"adapter {staged.ref} is loaded with digest {staged.digest[:12]}, and its source has "
                f"{str(found)[:12]} now: give other weights a version of their own, or unload it first"
            )

    async def _bring_up(self, entry: AdapterEntry, *, must_reside: bool) -> None:
        try:
            await self._loader.bring_up(entry, self._requested.get(entry.ref), must_reside=must_reside)
        except Exception as problem:
            if not self._expected(entry.ref):
                await self._loader.give_up(entry, problem)
            raise

    async def _restore(self, entry: AdapterEntry) -> AdapterStatus:
        if not self._expected(entry.ref):
            return await self._drain(entry)  # a copy of a former process goes too
        if not self._ready(entry):
            await self._bring_up(entry, must_reside=False)
        return self._status(entry)

    async def _unload(self, entry: AdapterEntry) -> AdapterStatus:
        if users := self._wanted.get(entry.ref):
            raise FailedPrecondition(f"adapter {entry.ref} is used by {', '.join(users)}")
        if entry.ref not in self._requested and entry.blank:
            raise NotFound(f"adapter {entry.ref} is not loaded")
        await self._desired.withdraw(self._backend.name, entry.ref)
        self._requested.pop(entry.ref, None)
        self._retry.stop(entry.ref)
        return await self._drain(entry)

    async def _release(self, entry: AdapterEntry) -> AdapterStatus:
        if self._expected(entry.ref):
            return self._status(entry)
        return await self._drain(entry)

    async def _drain(self, entry: AdapterEntry) -> AdapterStatus:
        before, entry.state = entry.state, AdapterState.DRAINING
        while entry.leases and entry.ref not in self._wanted:
            entry.idle.clear()
            await entry.idle.wait()
        if users := self._wanted.get(entry.ref):
            entry.state = before
            raise FailedPrecondition(f"adapter {entry.ref} is used by {', '.join(users)} again, and stays")
        await self._loader.take_down(entry)
        return self._status(entry)
