"""What an adapter's entry comes to, for operators and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from trivet.adapters.lifecycle.changes.entry import AdapterEntry
from trivet.adapters.lifecycle.changes.residency import Residency
from trivet.adapters.lifecycle.expectations import Expectations
from trivet.adapters.staging.staging import AdapterStaging
from trivet.ports import Backend
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier
from trivet.types.variant import VersionRef

Entries = Mapping[VersionRef, AdapterEntry]


class StatusReport:
    """Makes statuses out of entries, without looking anywhere else."""

    def __init__(
        self, backend: Backend, residency: Residency, staging: AdapterStaging, expectations: Expectations
    ) -> None:
        self._backend = backend
        self._residency = residency
        self._staging = staging
        self._expectations = expectations

    def of(self, entry: AdapterEntry) -> AdapterStatus:
        """One adapter's."""
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
            requested=entry.ref in self._expectations.requested,
            on_demand=self._expectations.only_on_demand(entry.ref),
            fetch=self._staging.progress(entry.ref),
        )

    def lasting(self, entries: Entries) -> list[AdapterStatus]:
        """Of every adapter that variants or operators want, or that has failed, by name."""
        known = self._known(entries)
        return [self.of(known[ref]) for ref in sorted(known) if not self._expectations.only_on_demand(ref)]

    def on_demand(self, entries: Entries) -> Counter[tuple[AdapterState, AdapterTier]]:
        """How many of those that requests alone chose there are, by state and tier."""
        chosen = [ref for ref in self._expectations.on_demand if self._expectations.only_on_demand(ref)]
        statuses = (self.of(entries[ref]) for ref in chosen if ref in entries)
        return Counter((status.state, status.tier) for status in statuses)

    def all(self, entries: Entries, in_sources: Iterable[VersionRef]) -> list[AdapterStatus]:
        """Of every adapter that is loaded, expected, or there in the sources, by name."""
        known = {ref: AdapterEntry(ref) for ref in in_sources} | self._known(entries)
        return [self.of(known[ref]) for ref in sorted(known)]

    def _known(self, entries: Entries) -> dict[VersionRef, AdapterEntry]:
        expected = (*self._expectations.wanted, *self._expectations.requested)
        return {ref: AdapterEntry(ref) for ref in expected} | dict(entries)
