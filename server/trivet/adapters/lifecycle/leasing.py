"""Adapters held by requests: each resident for as long as one of them uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trivet.adapters.lifecycle.changes.changes import AdapterChanges
from trivet.adapters.lifecycle.changes.entry import AdapterEntry
from trivet.adapters.lifecycle.changes.loader import AdapterLoader
from trivet.adapters.lifecycle.changes.residency import Residency
from trivet.adapters.lifecycle.changes.status_report import StatusReport
from trivet.adapters.lifecycle.expectations import Expectations
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.errors import BackendUnavailable, NotFound
from trivet.ports import Backend
from trivet.types.adapter import AdapterState
from trivet.types.variant import VersionRef

RETRY_AFTER = 1.0


class AdapterLeases:
    """Gives out leases of what `changes` knows, and adds those to the engine again that gave way to others."""

    def __init__(
        self,
        backend: Backend,
        changes: AdapterChanges,
        expectations: Expectations,
        loader: AdapterLoader,
        residency: Residency,
        report: StatusReport,
    ) -> None:
        self._backend = backend
        self._changes = changes
        self._expectations = expectations
        self._loader = loader
        self._residency = residency
        self._report = report

    @asynccontextmanager
    async def acquire(self, ref: VersionRef | None, chosen_by: str) -> AsyncIterator[AdapterLease | None]:
        """Hold an adapter for one request; see `AdapterManager.acquire`."""
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

    def ready(self, ref: VersionRef) -> bool:
        """Whether a request that acquires it has it at once."""
        entry = self._changes.entries.get(ref)
        return entry is not None and self._residency.ready(entry) and not entry.cold

    def gave_way(self, ref: VersionRef) -> bool:
        """Whether it is in no engine now, and the next request that acquires it waits until it is."""
        entry = self._changes.entries.get(ref)
        return entry is not None and entry.cold

    def _available(self, ref: VersionRef) -> AdapterEntry:
        entry = self._changes.entries.get(ref)
        state = AdapterState.REGISTERED if entry is None else entry.state
        if not self._expectations.any(ref) and state in (AdapterState.REGISTERED, AdapterState.FAILED):
            raise NotFound(f"adapter {ref} is not loaded")
        if not self._backend.ready:
            raise BackendUnavailable(f"adapter {ref} is not resident: the engine is not ready", RETRY_AFTER)
        if entry is None:
            raise BackendUnavailable(f"adapter {ref} is not loaded yet", RETRY_AFTER)
        if not self._residency.ready(entry):
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
                    self._changes.retry.start(entry.ref)
                raise BackendUnavailable(f"adapter {entry.ref} has failed: {problem}", RETRY_AFTER) from problem
        if not self._residency.holds(entry):
            raise BackendUnavailable(f"adapter {entry.ref} is not resident: the engine died", RETRY_AFTER)
        self._residency.touch(entry)
