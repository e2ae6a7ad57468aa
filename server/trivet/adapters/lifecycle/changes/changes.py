"""The changes of a backend's adapters: each asked for by anybody, made in its adapter's order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from trivet.adapters.lifecycle.changes.entry import AdapterEntry
from trivet.adapters.lifecycle.changes.loader import AdapterLoader
from trivet.adapters.lifecycle.changes.residency import Residency
from trivet.adapters.lifecycle.changes.retry import BackoffRetry
from trivet.adapters.lifecycle.changes.status_report import StatusReport
from trivet.adapters.lifecycle.expectations import Expectations
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import BackendUnavailable, FailedPrecondition, NotFound, TrivetError
from trivet.ports import DesiredAdapterStore
from trivet.types.adapter import AdapterState, AdapterStatus, DesiredAdapter, StagedAdapter
from trivet.types.variant import VersionRef

ChangeTask = asyncio.Task[AdapterStatus]


class AdapterChanges:
    """Each method gives the task that makes the change, for the adapter's status after it: await it shielded.

    `entries`: every adapter of which anything is known. `retry`: what could not be loaded and is expected.
    """

    def __init__(
        self,
        backend: str,
        desired: DesiredAdapterStore,
        expectations: Expectations,
        staging: AdapterStaging,
        loader: AdapterLoader,
        residency: Residency,
        report: StatusReport,
        settings: LifecycleSettings,
    ) -> None:
        """`backend`: its name in `desired`, which is what operators asked for, durably."""
        self.entries: dict[VersionRef, AdapterEntry] = {}
        self.retry = BackoffRetry(self._bring_back, settings.retry_first, settings.retry_most)
        self._backend = backend
        self._desired = desired
        self._expectations = expectations
        self._staging = staging
        self._loader = loader
        self._residency = residency
        self._report = report

    def entry(self, ref: VersionRef) -> AdapterEntry:
        """What is known of it, from now on."""
        return self.entries.setdefault(ref, AdapterEntry(ref))

    def load(self, ref: VersionRef) -> ChangeTask:
        """Load it, and record that an operator wants it."""
        return self._submit(ref, "load", self._load)

    def unload(self, ref: VersionRef) -> ChangeTask:
        """Record that no operator wants it, and drain it."""
        return self._submit(ref, "unload", self._unload)

    def restore(self, ref: VersionRef) -> ChangeTask:
        """Load it if anybody expects it and it is not ready."""
        return self._submit(ref, "bring back", self._restore)

    def arrive(self, ref: VersionRef) -> ChangeTask:
        """Load it for requests that chose it: what fails leaves nothing behind, but for an engine that is away."""
        return self._submit(ref, "arrive", self._arrive)

    def release(self, ref: VersionRef) -> ChangeTask:
        """Drain it, unless anybody expects it."""
        return self._submit(ref, "release", self._release)

    async def cancel(self) -> None:
        """Stop what is under way; for the end of the process."""
        await asyncio.gather(*[entry.cancel() for entry in list(self.entries.values())])

    def _submit(
        self, ref: VersionRef, kind: str, change: Callable[[AdapterEntry], Coroutine[Any, Any, AdapterStatus]]
    ) -> ChangeTask:
        entry = self.entry(ref)
        return entry.changes.submit(kind, partial(change, entry), lambda: self._forget(entry))

    def _forget(self, entry: AdapterEntry) -> None:
        if entry.blank and not entry.changes.busy and self.entries.get(entry.ref) is entry:
            del self.entries[entry.ref]

    async def _bring_back(self, ref: VersionRef) -> None:
        await asyncio.shield(self.restore(ref))

    # What follows runs in the adapter's serial executor.

    async def _load(self, entry: AdapterEntry) -> AdapterStatus:
        if self._residency.ready(entry) and entry.staged is not None:
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
            await self._desired.record(self._backend, DesiredAdapter(entry.ref, digest))
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
        if not self._residency.ready(entry):
            await self._bring_up(entry, must_reside=False)
        return self._report.of(entry)

    async def _unload(self, entry: AdapterEntry) -> AdapterStatus:
        if users := self._expectations.wanted.get(entry.ref):
            raise FailedPrecondition(f"adapter {entry.ref} is used by {', '.join(users)}")
        expectations = self._expectations
        if entry.ref not in expectations.requested and entry.blank and not expectations.pinned(entry.ref):
            raise NotFound(f"adapter {entry.ref} is not loaded")
        await self._desired.withdraw(self._backend, entry.ref)
        await expectations.withdrawn(entry.ref)
        self.retry.stop(entry.ref)
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
