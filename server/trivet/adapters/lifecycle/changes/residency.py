"""Residency: which adapters are in the engine's host memory.

The engine has places for so many and drops the one used longest ago when another one comes. The choice is made here
instead, so that what is recorded is right and an adapter in use is never the one that goes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict

from trivet.adapters.lifecycle.changes.entry import AdapterEntry
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.errors import BackendUnavailable, TrivetError
from trivet.ports import Backend
from trivet.types.adapter import AdapterState
from trivet.types.variant import VersionRef

_CHOSEN, _REQUESTED, _WANTED = range(3)  # by requests, operators and variants; the first ones give way first


class Residency:
    """At most `places` adapters in the engine, more only while all of them are in use.

    Then the engine reads the copies again as it needs them: slower, and never wrong. Those that requests chose give
    way first, of these one of the tenant that has the most, then those that no variant wants; of them the one used
    longest ago; pinned ones never do.
    """

    def __init__(self, backend: Backend, places: int, demand: AdapterDemand) -> None:
        self._backend = backend
        self._places = places
        self._demand = demand
        self._held: OrderedDict[VersionRef, AdapterEntry] = OrderedDict()
        self._incarnation = 0
        self._trimming: asyncio.Task[None] | None = None

    @property
    def has_room(self) -> bool:
        """Another adapter fits without one that has to go."""
        self._follow_engine()
        return len(self._held) < self._places

    def holds(self, entry: AdapterEntry) -> bool:
        """Whether it is in the engine that lives now."""
        return entry.incarnation == self._backend.incarnation and self._backend.ready

    def ready(self, entry: AdapterEntry) -> bool:
        """Whether a request may have it: it is in the engine, or its copy is sound and it is added again."""
        return entry.state is AdapterState.READY and (entry.cold or self.holds(entry))

    def touch(self, entry: AdapterEntry) -> None:
        """It was used just now. If there are more than places, those that may go do so in the background."""
        if entry.ref in self._held:
            self._held.move_to_end(entry.ref)
        if len(self._held) > self._places and self._victim() and (self._trimming is None or self._trimming.done()):
            self._trimming = asyncio.create_task(self._make_room(None))

    async def close(self) -> None:
        """Stop what is under way in the background."""
        if self._trimming is not None:
            self._trimming.cancel()
            await asyncio.wait({self._trimming})

    async def add(self, entry: AdapterEntry) -> None:
        """Put it into the engine, if need be in another one's place. Raises what `Backend.load_adapter` raises."""
        async with entry.engine:
            if self.holds(entry) or entry.staged is None:
                return
            self._follow_engine()
            incarnation = self._backend.incarnation
            self._held[entry.ref] = entry  # its place is taken before it is there: others come at the same time
            try:
                await self._make_room(entry)
                if incarnation != self._backend.incarnation:
                    raise BackendUnavailable("the engine died while room was made in it")
                await self._backend.load_adapter(entry.staged)
            except BaseException:
                self._held.pop(entry.ref, None)
                raise
            entry.incarnation = incarnation

    async def remove(self, entry: AdapterEntry) -> None:
        """Take it out of the engine; fine if it is not there."""
        async with entry.engine:
            self._held.pop(entry.ref, None)
            entry.incarnation = 0
            if entry.staged is not None:
                await self._backend.unload_adapter(entry.staged.engine_name)

    async def _make_room(self, newcomer: AdapterEntry | None) -> None:
        while len(self._held) > self._places:
            victim = self._victim(newcomer)
            if victim is None:
                return
            # Both at once, before anything is awaited: who wants it from here on adds it again, after it is out.
            del self._held[victim.ref]
            victim.incarnation = 0
            async with victim.engine:
                if victim.staged is not None:
                    with contextlib.suppress(TrivetError):  # an engine that is dead holds nothing
                        await self._backend.unload_adapter(victim.staged.engine_name)

    def _victim(self, newcomer: AdapterEntry | None = None) -> AdapterEntry | None:
        """The one used longest ago, of those that are wanted least, and if requests chose them, of the tenant that has
        the most: one that walks through many leaves others their few."""
        idle = [
            entry
            for entry in self._held.values()
            if entry.state is AdapterState.READY
            and entry.incarnation == self._incarnation
            and not entry.leases
            and not entry.engine.locked()
            and entry.ref not in self._demand.pinned
        ]
        chosen = Counter(one.chosen_by for one in self._held.values() if self._rank(one.ref) == _CHOSEN)

        def last(entry: AdapterEntry) -> tuple[int, int]:
            rank = self._rank(entry.ref)
            return rank, -chosen[entry.chosen_by] if rank == _CHOSEN else 0

        found = min(idle, key=last, default=None)
        stranger = newcomer is not None and self._rank(newcomer.ref) == _CHOSEN
        return None if found is not None and stranger and self._rank(found.ref) == _WANTED else found

    def _rank(self, ref: VersionRef) -> int:
        if ref in self._demand.users:
            return _WANTED
        return _CHOSEN if ref in self._demand.on_demand else _REQUESTED

    def _follow_engine(self) -> None:
        """A dead engine and a new one hold nothing."""
        if not self._backend.ready or self._incarnation != self._backend.incarnation:
            self._incarnation = self._backend.incarnation
            self._held.clear()
