"""The adapters of one backend: what should be loaded, by routes and operators, against what is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from trivet.adapters.lifecycle.changes.changes import AdapterChanges
from trivet.adapters.lifecycle.changes.loader import AdapterLoader, LoadObserver
from trivet.adapters.lifecycle.changes.residency import Residency
from trivet.adapters.lifecycle.changes.status_report import StatusReport
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.expectations import Expectations
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.leasing import AdapterLeases
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.pins import AdapterPins
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import StateUnavailable
from trivet.ports import Backend, DesiredAdapterStore
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier
from trivet.types.variant import VersionRef


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
        self._desired = desired
        self._expectations = Expectations(demand, pins)
        self._residency = Residency(backend, settings.host_places, demand)
        self._report = StatusReport(backend, self._residency, staging, self._expectations)
        loader = AdapterLoader(staging, self._residency, settings.max_loads, on_load)
        self._changes = AdapterChanges(
            backend.name, desired, self._expectations, staging, loader, self._residency, self._report, settings
        )
        self._leases = AdapterLeases(backend, self._changes, self._expectations, loader, self._residency, self._report)
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
        results = await asyncio.gather(*map(self._restore, wanted), return_exceptions=True)
        problems = {ref: result for ref, result in zip(wanted, results, strict=True) if isinstance(result, Exception)}
        for ref in (*problems, *(ref for ref in self._expectations.requested if ref not in self._expectations.wanted)):
            self._changes.retry.start(ref)
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
            self._changes.retry.stop(ref)
        for ref in new:
            self._expectations.requested[ref] = found[ref]
            self._changes.retry.start(ref)
        if gone:
            self.review()

    def review(self) -> None:
        """Look at the demand anew: what nobody wants drains and goes, in the background.

        What drains and is wanted again stays. Loads nothing: `ensure` does, or `reconcile`.
        """
        for ref, entry in list(self._changes.entries.items()):
            if not self._expectations.any(ref):
                self._changes.release(ref)
            elif ref in self._expectations.wanted:
                entry.idle.set()

    async def ensure(self, ref: VersionRef) -> AdapterStatus:
        """Load one that is wanted, if it is not ready; raises what keeps it from that."""
        await self._try_to_open()
        return await self._restore(ref)

    async def load(self, ref: VersionRef) -> AdapterStatus:
        """An operator's request: check, copy and load it, and record that it is to stay. Fine if it is ready already.

        It is recorded durably, with the digest of its bytes, once it is loaded. Callers at the same time share one
        load. Raises NotFound, AdapterRejected, BackendUnavailable, StateUnavailable, and FailedPrecondition if it is
        loaded and its source has other bytes by now.
        """
        await self._open()
        return await asyncio.shield(self._changes.load(ref))

    async def unload(self, ref: VersionRef) -> AdapterStatus:
        """Withdraw the operator's request, durably; let what uses it finish, unload it, delete its copy.

        Raises NotFound if nobody asked for it, StateUnavailable, and FailedPrecondition if variants want it: then
        nothing has changed, the request included. If they begin to want it while it drains it stays, without a request.
        """
        await self._open()
        return await asyncio.shield(self._changes.unload(ref))

    def acquire(self, ref: VersionRef | None, chosen_by: str = "") -> AbstractAsyncContextManager[AdapterLease | None]:
        """Hold an adapter for one request, of the tenant that chose it; None, for the base model, holds nothing.

        One that gave way to others is added to the engine again first. Raises NotFound if nobody asked for it to be
        loaded, BackendUnavailable if it is not ready now.
        """
        return self._leases.acquire(ref, chosen_by)

    async def arrive(self, ref: VersionRef, chosen_by: str = "") -> AdapterStatus:
        """Fetch, check and copy one that a tenant's request chose, if it is not ready; it stays until it is dismissed.

        Raises NotFound, AdapterRejected, AdapterSourceUnavailable, BackendUnavailable, StateUnavailable; then nothing
        of it is kept but, while the engine is away, its copy.
        """
        await self._open()
        self._expectations.on_demand.add(ref)
        self._changes.entry(ref).chosen_by = chosen_by
        return await asyncio.shield(self._changes.arrive(ref))

    async def dismiss(self, ref: VersionRef) -> None:
        """Requests do not keep it any more: when those that use it have finished it goes, unless it is wanted."""
        self._expectations.on_demand.discard(ref)
        if not self._expectations.lasting(ref):
            await asyncio.shield(self._changes.release(ref))

    @property
    def engine_ready(self) -> bool:
        """Whether the engine lives and takes requests."""
        return self._backend.ready

    def ready(self, ref: VersionRef) -> bool:
        """Whether a request that acquires it has it at once."""
        return self._leases.ready(ref)

    async def source_digest(self, ref: VersionRef) -> str | None:
        """SHA-256 of the adapter's files where they come from; None if they cannot be read now."""
        return await asyncio.to_thread(self._staging.source_digest, ref)

    def gave_way(self, ref: VersionRef) -> bool:
        """Whether it is in no engine now, and the next request that acquires it waits until it is."""
        return self._leases.gave_way(ref)

    def statuses(self) -> list[AdapterStatus]:
        """Every adapter that variants or operators want, or that has failed, by name; out of what the manager knows."""
        return self._report.lasting(self._changes.entries)

    def on_demand(self) -> Counter[tuple[AdapterState, AdapterTier]]:
        """How many of those that requests alone chose there are, by state and tier."""
        return self._report.on_demand(self._changes.entries)

    async def list(self) -> list[AdapterStatus]:
        """Every adapter that is loaded, expected, or there in the sources, by name; looks into the sources once."""
        return self._report.all(self._changes.entries, await asyncio.to_thread(self._staging.known))

    async def close(self) -> None:
        """Stop what is under way. What is half-done is undone at the next start; the desired state is whole."""
        self._staging.stop()
        await self._changes.retry.close()
        await self._residency.close()
        await self._changes.cancel()

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
                self._changes.entry(ref)  # so that a copy goes with the last one who wants it, also before it is loaded
            self._expectations.requested = requested
            self._opened = True

    async def _restore(self, ref: VersionRef) -> AdapterStatus:
        return await asyncio.shield(self._changes.restore(ref))
