"""The adapters of one node: fetched, checked, copied and loaded here, by the digest that a gateway names.

The engine has places for so many and would drop the one used longest ago by itself; one whose files are gone by then
would end it. So the choice is made here: never more are loaded than there are places, and what is in use stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import BackendUnavailable, FailedPrecondition, NotFound, Overloaded, TrivetError
from trivet.ports import Backend
from trivet.types.adapter import StagedAdapter, engine_name
from trivet.types.variant import VersionRef

logger = logging.getLogger(__name__)
COPIES = 4  # for each place: adapters that left it are quickly back
_RETRY_AFTER = 1.0


@dataclass(slots=True)
class _Resident:
    staged: StagedAdapter
    uses: int = 0
    leaving: bool = False  # given back while it was in use


class NodeAdapters:
    """Call everything from one event loop. `changed` is told when something else is resident.

    `places`: 0 for an engine that takes no adapters. At most `max_loads` are fetched at the same time.
    """

    def __init__(
        self, staging: AdapterStaging, folder: Path, backend: Backend, places: int, max_loads: int,
        changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._staging = staging
        self._folder = folder
        self._backend = backend
        self._places = places
        self._changed = changed
        self._loads = asyncio.Semaphore(max_loads)
        self._resident: OrderedDict[str, _Resident] = OrderedDict()  # the one used longest ago first
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._placed: set[str] = set()  # places of those that are being loaded, and that others occupy
        self._holders: dict[str, set[str]] = {}
        self._wanted: dict[str, StagedAdapter] = {}  # to be loaded again by a new engine, while anybody holds them
        self._leaving: list[asyncio.Task[None]] = []
        self._incarnation = 0

    @property
    def resident(self) -> list[str]:
        """Engine names of what is loaded."""
        self._follow_engine()
        return list(self._resident)

    async def open(self) -> None:
        """Delete what a crash left half-written, and old copies."""
        await asyncio.to_thread(self._sweep)

    async def load(self, ref: VersionRef, digest: str, holder: str) -> str:
        """Make the adapter with these bytes resident; returns its engine name. Callers at the same time share one load,
        and cancelling one stops nothing.

        Raises NotFound, AdapterRejected, AdapterSourceUnavailable, BackendUnavailable, and Overloaded while all places
        are taken by adapters in use.
        """
        if not self._places:
            raise FailedPrecondition("this node's engine takes no adapters (enable_lora: false)")
        self._follow_engine()
        name = engine_name(ref, digest)
        self._holders.setdefault(name, set()).add(holder)
        if name in self._resident:
            self._resident[name].leaving = False
            return name
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(self._load(name, ref, digest))
            task.add_done_callback(lambda task: self._loaded(name, task))
        try:
            await asyncio.shield(task)
        except TrivetError:
            self._release(name, holder)
            raise
        return name

    async def unload(self, name: str, holder: str) -> None:
        """The holder does not want it any more. Once nobody does and nothing uses it, it leaves the engine."""
        self._release(name, holder)
        await self._drop_unwanted(name)

    async def forget(self, holder: str) -> None:
        """The holder is gone: what it alone wanted stays loaded while there is room for it."""
        for name in list(self._holders):
            self._release(name, holder)

    async def occupy(self, holder: str) -> None:
        """A place is taken by something else, until it is vacated. Raises Overloaded as `load` does."""
        await self._take_place(holder)

    def vacate(self, holder: str) -> None:
        """That place is free again; fine if there was none."""
        self._placed.discard(holder)

    @contextlib.contextmanager
    def use(self, name: str | None) -> Iterator[None]:
        """Around a request: the adapter stays. Raises NotFound if it is not resident."""
        if name is None:
            yield
            return
        self._follow_engine()
        entry = self._resident.get(name)
        if entry is None:
            raise NotFound(f"adapter {name} is not resident on this node")
        self._resident.move_to_end(name)
        entry.uses += 1
        try:
            yield
        finally:
            entry.uses -= 1
            if entry.leaving and not entry.uses and self._resident.get(name) is entry:
                self._leaving.append(asyncio.create_task(self._drop_unwanted(name)))
                self._leaving = [task for task in self._leaving if not task.done()]

    async def restore(self) -> list[str]:
        """Load again what is held, after a new start of the engine; what could not be, in words."""
        self._follow_engine()
        problems = []
        for name, staged in list(self._wanted.items())[: self._places]:
            for holder in list(self._holders.get(name, ())):
                try:
                    await self.load(staged.ref, staged.digest, holder)
                except TrivetError as problem:
                    problems.append(f"adapter {name}: {problem}")
                    break
        return problems

    async def close(self) -> None:
        """Stop what is under way."""
        self._staging.stop()
        tasks = [*self._loading.values(), *self._leaving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, name: str, ref: VersionRef, digest: str) -> None:
        async with self._loads:
            staged = await asyncio.to_thread(self._staging.restore, ref, digest)
            self._follow_engine()
            incarnation = self._backend.incarnation
            try:
                await self._take_place(name)
                await self._backend.load_adapter(staged)
            finally:
                self._placed.discard(name)
        if not self._backend.ready or incarnation != self._backend.incarnation:
            raise BackendUnavailable("the engine died while the adapter was loaded", _RETRY_AFTER)
        self._resident[name] = _Resident(staged)
        self._wanted[name] = staged
        self._changed()
        await asyncio.to_thread(self._drop_old_copies)

    def _loaded(self, name: str, task: asyncio.Task[None]) -> None:
        self._loading.pop(name, None)
        if not task.cancelled():
            task.exception()  # its callers may all be gone

    async def _take_place(self, name: str) -> None:
        while len(self._resident) + len(self._placed) >= self._places:
            victim = self._victim()
            if victim is None:
                raise Overloaded("adapter places", self._places, _RETRY_AFTER)
            await self._evict(victim)
        self._placed.add(name)

    def _victim(self) -> str | None:
        idle = [name for name, entry in self._resident.items() if not entry.uses]
        return next((name for name in idle if not self._holders.get(name)), idle[0] if idle else None)

    async def _evict(self, name: str) -> None:
        del self._resident[name]  # before anything is awaited: who wants it from here on loads it again
        self._wanted.pop(name, None)
        self._changed()
        with contextlib.suppress(BackendUnavailable):  # an engine that is dead holds nothing
            await self._backend.unload_adapter(name)

    async def _drop_unwanted(self, name: str) -> None:
        entry = self._resident.get(name)
        if entry is None or self._holders.get(name):
            return
        entry.leaving = True
        if not entry.uses:
            await self._evict(name)

    def _release(self, name: str, holder: str) -> None:
        holders = self._holders.get(name)
        if holders is None:
            return
        holders.discard(holder)
        if not holders:
            del self._holders[name]
            self._wanted.pop(name, None)

    def _follow_engine(self) -> None:
        """A dead engine and a new one hold nothing."""
        if not self._backend.ready or self._incarnation != self._backend.incarnation:
            self._incarnation = self._backend.incarnation if self._backend.ready else 0
            if self._resident:
                self._resident.clear()
                self._changed()

    # What follows blocks, and runs in threads.

    def _sweep(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._staging.sweep((), [path.name for path in self._copies()])
        self._drop_old_copies()

    def _copies(self) -> list[Path]:
        """Whole copies, those made last first."""
        found = [path for path in self._folder.iterdir() if "#" in path.name and not path.name.startswith(".")]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def _drop_old_copies(self) -> None:
        """Copies of what is loaded or being loaded stay, whatever their number: the engine may read them again."""
        kept = {*self._resident, *self._loading, *self._wanted}
        idle = [path for path in self._copies() if path.name not in kept]
        for path in idle[COPIES * max(1, self._places) :]:
            self._staging.discard(StagedAdapter(VersionRef("", ""), "", 0, path))
