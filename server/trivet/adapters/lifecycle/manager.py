"""The adapters of one backend: what should be loaded, by routes and operators, against what is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.entry import AdapterEntry
from trivet.adapters.lifecycle.expectations import Expectations
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.loader import AdapterLoader, LoadObserver
from trivet.adapters.lifecycle.residency import Residency
from trivet.adapters.lifecycle.retry import BackoffRetry
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.lifecycle.status_report import StatusReport
from trivet.adapters.pins import AdapterPins
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import BackendUnavailable, FailedPrecondition, NotFound, StateUnavailable, TrivetError
from trivet.ports import Backend, DesiredAdapterStore
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier, DesiredAdapter, StagedAdapter
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
        pins: AdapterPins | None = None,
    ) -> None:
        """`pins`: the bytes of adapters that requests choose; without, they choose none."""
        settings = settings or LifecycleSettings()
        self._staging = staging
        self._backend = backend
        self._expectations = Expectations(demand, pins)
        self._desired = desired
        self._residency = Residency(backend, settings.host_places, demand)
        self._loader = AdapterLoader(staging, self._residency, settings.max_loads, on_load)
        self._retry = BackoffRetry(self._bring_back, settings.retry_first, settings.retry_most)
        self._report = StatusReport(backend, self._residency, staging, self._expectations)
        self._entries: dict[VersionRef, AdapterEntry] = {}
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
        wanted = sorted(self._expectations.wanted)
        results = await asyncio.gather(*map(self._bring_back, wanted), return_exceptions=True)
        problems = {ref: result for ref, result in zip(wanted, results, strict=True) if isinstance(result, Exception)}
        for ref in (*problems, *(ref for ref in self._expectations.requested if ref not in self._expectations.wanted)):
            self._retry.start(ref)
        for problem in (*problems.values(), *unread):
            raise problem

    async def follow(self) -> None:
        """Take up what operators have asked other gateways of the store for; raises StateUnavailable.

        What was asked for here meanwhile is left alone until the next time.
        """
        if not self._opened:
            return
        before = dict(self._expectations.requested)
        found = {one.ref: one.digest for one in await self._desired.all(self._backend.name)}
        if self._expectations.requested != before:
            return
        gone = [ref for ref, digest in before.items() if found.get(ref) != digest]  # with other bytes: gone first
        new = [ref for ref in found if ref not in before]
        for ref in gone:
            del self._expectations.requested[ref]
            self._retry.stop(ref)
        for ref in new:
            self._expectations.requested[ref] = found[ref]
            self._retry.start(ref)
        if gone:
            self.review()

    def review(self) -> None:
        """Look at the demand anew: what nobody wants drains and goes, in the background.

        What drains and is wanted again stays. Loads nothing: `ensure` does, or `reconcile`.
        """
        for ref, entry in list(self._entries.items()):
            if not self._expectations.any(ref):
                self._submit(entry, "release", self._release)
            elif ref in self._expectations.wanted:
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
    async def acquire(self, ref: VersionRef | None, chosen_by: str = "") -> AsyncIterator[AdapterLease | None]:
        """Hold an adapter for one request, of the tenant that chose it; None, for the base model, holds nothing.

        One that gave way to others is added to the engine again first. Raises NotFound if nobody asked for it to be
        loaded, BackendUnavailable if it is not ready now.
        """
        if ref is None:
            yield None
            return
        entry = self._available(ref)
        entry.leases += 1
        entry.chosen_by = chosen_by
        try:
            await self._make_resident(entry)
            assert entry.staged is not None
            yield AdapterLease(ref, entry.staged.engine_name, entry.staged.digest, entry.staged.invocation)
        finally:
            entry.release()
            self._residency.touch(entry)

    async def arrive(self, ref: VersionRef, chosen_by: str = "") -> AdapterStatus:
        """Fetch, check and copy one that a tenant's request chose, if it is not ready; it stays until it is dismissed.

        Raises NotFound, AdapterRejected, AdapterSourceUnavailable, BackendUnavailable, StateUnavailable; then nothing
        of it is kept but, while the engine is away, its copy.
        """
        await self._open()
        self._expectations.on_demand.add(ref)
        entry = self._entry(ref)
        entry.chosen_by = chosen_by
        return await asyncio.shield(self._submit(entry, "arrive", self._arrive))

    async def dismiss(self, ref: VersionRef) -> None:
        """Requests do not keep it any more: when those that use it have finished it goes, unless it is wanted."""
        self._expectations.on_demand.discard(ref)
        if not self._expectations.lasting(ref):
            await asyncio.shield(self._submit(self._entry(ref), "release", self._release))

    @property
    def engine_ready(self) -> bool:
        """Whether the engine lives and takes requests."""
        return self._backend.ready

    def ready(self, ref: VersionRef) -> bool:
        """Whether a request that acquires it has it at once."""
        entry = self._entries.get(ref)
        return entry is not None and self._ready(entry) and not entry.cold

    async def source_digest(self, ref: VersionRef) -> str | None:
        """SHA-256 of the adapter's files where they come from; None if they cannot be read now."""
        return await asyncio.to_thread(self._staging.source_digest, ref)

    def gave_way(self, ref: VersionRef) -> bool:
        """Whether it is in no engine now, and the next request that acquires it waits until it is."""
        entry = self._entries.get(ref)
        return entry is not None and entry.cold

    def statuses(self) -> list[AdapterStatus]:
        """Every adapter that variants or operators want, or that has failed, by name; out of what the manager knows."""
        return self._report.lasting(self._entries)

    def on_demand(self) -> Counter[tuple[AdapterState, AdapterTier]]:
        """How many of those that requests alone chose there are, by state and tier."""
        return self._report.on_demand(self._entries)

    async def list(self) -> list[AdapterStatus]:
        """Every adapter that is loaded, expected, or there in the sources, by name; looks into the sources once."""
        return self._report.all(self._entries, await asyncio.to_thread(self._staging.known))

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
            wanted, kept = set(self._expectations.wanted), self._expectations.kept_copies(requested.items())
            await asyncio.to_thread(self._staging.sweep, wanted, kept)
            for ref in wanted:
                self._entry(ref)  # so that a copy goes with the last one who wants it, also before it is loaded
            self._expectations.requested = requested
            self._opened = True

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
        if not self._expectations.any(ref) and state in (AdapterState.REGISTERED, AdapterState.FAILED):
            raise NotFound(f"adapter {ref} is not loaded")
        if not self._backend.ready:
            raise BackendUnavailable(f"adapter {ref} is not resident: the engine is not ready", RETRY_AFTER)
        if entry is None:
            raise BackendUnavailable(f"adapter {ref} is not loaded yet", RETRY_AFTER)
        if not self._ready(entry):
            why = f"{state.value}: {entry.problem}" if entry.problem else self._report.of(entry).state.value
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
                if self._expectations.lasting(entry.ref):
                    self._retry.start(entry.ref)
                raise BackendUnavailable(f"adapter {entry.ref} has failed: {problem}", RETRY_AFTER) from problem
        if not self._residency.holds(entry):
            raise BackendUnavailable(f"adapter {entry.ref} is not resident: the engine died", RETRY_AFTER)
        self._residency.touch(entry)

    # What follows runs in the adapter's serial executor.

    async def _load(self, entry: AdapterEntry) -> AdapterStatus:
        if self._ready(entry) and entry.staged is not None:
            await self._confirm(entry.staged)
            if entry.cold:
                await self._loader.reload(entry)
        else:
            await self._bring_up(entry, must_reside=True)
        assert entry.staged is not None
        if self._expectations.requested.get(entry.ref) != entry.staged.digest:
            await self._record(entry, entry.staged.digest)
        return self._report.of(entry)

    async def _record(self, entry: AdapterEntry, digest: str) -> None:
        try:
            await self._desired.record(self._backend.name, DesiredAdapter(entry.ref, digest))
        except TrivetError:
            if not self._expectations.any(entry.ref):
                await self._drain(entry)
            raise
        self._expectations.requested[entry.ref] = digest

    async def _confirm(self, staged: StagedAdapter) -> None:
        found = await asyncio.to_thread(self._staging.source_digest, staged.ref)
        if found not in (None, staged.digest):
            raise FailedPrecondition(
                f"adapter {staged.ref} is loaded with digest {staged.digest[:12]}, and its source has "
                f"{str(found)[:12]} now: give other weights a version of their own, or unload it first"
            )

    async def _bring_up(self, entry: AdapterEntry, *, must_reside: bool) -> None:
        try:
            await self._loader.bring_up(entry, self._expectations.digest(entry.ref), must_reside=must_reside)
        except Exception as problem:
            if not self._expectations.any(entry.ref):
                await self._loader.give_up(entry, problem)
            raise

    async def _arrive(self, entry: AdapterEntry) -> AdapterStatus:
        """For requests that chose it: what fails leaves nothing behind, but for an engine that is away."""
        try:
            return await self._restore(entry)
        except BackendUnavailable:
            raise
        except Exception:
            if not self._expectations.lasting(entry.ref):
                self._expectations.on_demand.discard(entry.ref)
                await self._loader.take_down(entry)
            raise

    async def _restore(self, entry: AdapterEntry) -> AdapterStatus:
        if not self._expectations.any(entry.ref):
            return await self._drain(entry)  # a copy of a former process goes too
        if not self._ready(entry):
            await self._bring_up(entry, must_reside=False)
        return self._report.of(entry)

    async def _unload(self, entry: AdapterEntry) -> AdapterStatus:
        if users := self._expectations.wanted.get(entry.ref):
            raise FailedPrecondition(f"adapter {entry.ref} is used by {', '.join(users)}")
        expectations = self._expectations
        if entry.ref not in expectations.requested and entry.blank and not expectations.pinned(entry.ref):
            raise NotFound(f"adapter {entry.ref} is not loaded")
        await self._desired.withdraw(self._backend.name, entry.ref)
        await expectations.withdrawn(entry.ref)
        self._retry.stop(entry.ref)
        return await self._drain(entry)

    async def _release(self, entry: AdapterEntry) -> AdapterStatus:
        if self._expectations.any(entry.ref):
            return self._report.of(entry)
        return await self._drain(entry)

    async def _drain(self, entry: AdapterEntry) -> AdapterStatus:
        before, entry.state = entry.state, AdapterState.DRAINING
        while entry.leases and entry.ref not in self._expectations.wanted:
            entry.idle.clear()
            await entry.idle.wait()
        if users := self._expectations.wanted.get(entry.ref):
            entry.state = before
            raise FailedPrecondition(f"adapter {entry.ref} is used by {', '.join(users)} again, and stays")
        await self._loader.take_down(entry)
        return self._report.of(entry)
