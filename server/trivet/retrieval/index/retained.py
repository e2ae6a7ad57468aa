"""An index's snapshots besides the live one: those kept for a rollback, and those to be removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from trivet.errors import (
    CollectionMissing,
    DocumentDamaged,
    DocumentRejected,
    FailedPrecondition,
    NotFound,
    RetrievalUnavailable,
    TrivetError,
)
from trivet.retrieval.index.reconciler import Reconciler
from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.coordination import Coordination
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotCatalogue, SnapshotRecord, SnapshotState

_log = logging.getLogger(__name__)

REMOVE_AFTER = 150.0  # seconds: longer than any search takes that began on the snapshot while it was live
_SETTLE = 0.5  # seconds that a follower lets writers go ahead
_RETRY = 5.0
_SHARE_EVERY = 2.0
_NOTE_EVERY = 32  # entries applied until the catalogue hears of it

OpenSnapshot = Callable[[SnapshotRecord], Awaitable[Snapshot]]


class RetainedSnapshots:
    """Keeps retained snapshots up to the log, in order, behind the writers. One task."""

    def __init__(
        self,
        index: str,
        log: DocumentLog,
        catalogue: SnapshotCatalogue,
        store: QdrantStore,
        replay: Replay,
        open_: OpenSnapshot,
        logged: asyncio.Event,
        coordination: Coordination,
    ) -> None:
        """`open_` raises FailedPrecondition for a snapshot whose embedding model is gone; `logged`: set by writers."""
        self._index = index
        self._log = log
        self._catalogue = catalogue
        self._store = store
        self._replay = replay
        self._open = open_
        self._logged = logged
        self._coordination = coordination
        self._kept: dict[str, Snapshot] = {}
        self._leaving: dict[str, int] = {}  # superseded, and going to be removed; the change that superseded each
        self._problems: dict[str, str] = {}
        self._busy = asyncio.Lock()  # one at a time brings kept snapshots up to the log
        self._tasks: set[asyncio.Task[None]] = set()
        self.lag = 0  # documents that the one furthest behind does not have as the log has them

    @property
    def problems(self) -> Mapping[str, str]:
        """Snapshots that do not follow, and why."""
        return self._problems

    async def start(self) -> None:
        """Remove what was superseded; follow with the others."""
        if self._coordination.shared:
            self._run(self._share())
            return
        for record in await self._catalogue.of(self._index):
            if record.state is SnapshotState.SUPERSEDED:
                await self._remove(record, 0)
            elif record.state is SnapshotState.RETAINED:
                await self._keep(record)
        self._run(self._follow())

    async def close(self) -> None:
        """Stop. What was to be removed is removed at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def names(self) -> list[str]:
        """Retained snapshots, the one that was live last first."""
        records = await self._catalogue.of(self._index)
        return [record.name for record in records if record.state is SnapshotState.RETAINED]

    async def add(self, snapshot: Snapshot) -> None:
        """Keep one that was live, and do with all of them as the catalogue says."""
        if self._coordination.shared:
            return  # `_share` does, at whichever gateway
        self._kept[snapshot.name] = snapshot
        for record in await self._catalogue.of(self._index):
            if record.state is SnapshotState.SUPERSEDED and record.name in self._kept:
                del self._kept[record.name]
                self._run(self._remove(record, REMOVE_AFTER))
        self._logged.set()

    async def take(self, name: str) -> Snapshot:
        """One of them, up to the log but for a moment; the last one that was live if `name` is empty.

        Raises NotFound, FailedPrecondition if it cannot be used, RetrievalUnavailable.
        """
        if self._coordination.shared:
            await self._take_stock()
        names = await self.names()
        if name and name not in names:
            raise NotFound(f"index {self._index!r} keeps no snapshot {name!r}; kept: {', '.join(names) or 'none'}")
        if not names:
            raise FailedPrecondition(f"index {self._index!r} keeps no snapshot besides the live one")
        name = name or names[0]
        if name not in self._kept:
            raise FailedPrecondition(f"snapshot {name} cannot be used: {self._problems.get(name, 'it was not opened')}")
        snapshot = self._kept[name]
        await self.follow(snapshot)
        return snapshot

    async def follow(self, snapshot: Snapshot, *, to_the_end: bool = False) -> None:
        """Bring a snapshot up to what the log has now, or `to_the_end`: for when nobody writes meanwhile.

        Raises FailedPrecondition if a document cannot be in it, RetrievalUnavailable.
        """
        async with self._busy:
            if not snapshot.progress.following:
                return  # it has become live while this waited: its writers keep it up to the log
            async for _ in self.following(snapshot, to_the_end=to_the_end):
                pass

    async def mend(self, snapshot: Snapshot, reconciler: Reconciler) -> None:
        """Compare all of a snapshot with the log, before it serves, and write again what its collection has lost.

        Raises FailedPrecondition if a document cannot be in it, RetrievalUnavailable.
        """
        async with self._busy:
            if not snapshot.progress.following:
                return
            try:
                await reconciler.reconcile(snapshot, self._replay.bring)
            except (DocumentRejected, DocumentDamaged) as error:
                raise FailedPrecondition(f"snapshot {snapshot.name} cannot follow the log: {error}") from error

    async def following(self, snapshot: Snapshot, *, to_the_end: bool = False) -> AsyncIterator[str]:
        """The same, step by step: the ids of the documents that were missing. Nobody else follows with it meanwhile."""
        until = None if to_the_end else await self._log.last()
        applied = 0
        async for entries in self._replay.missing(snapshot, until):
            for entry in entries:
                try:
                    await self._replay.bring(snapshot, entry.key)
                except (DocumentRejected, DocumentDamaged) as error:
                    raise FailedPrecondition(f"snapshot {snapshot.name} cannot follow the log: {error}") from error
                snapshot.progress.reached(entry.seq - 1)
                applied += 1
                if applied % _NOTE_EVERY == 0:
                    await self.note(snapshot)
                yield entry.document_id
        await self.note(snapshot)

    def withdraw(self, name: str) -> None:
        """It is live now."""
        self._kept.pop(name, None)

    async def _keep(self, record: SnapshotRecord) -> None:
        try:
            snapshot = await self._open(record)
            await snapshot.ensure()
            self._kept[record.name] = snapshot
        except FailedPrecondition as error:
            _log.error("snapshot %s of index %s is kept, but does not follow: %s", record.name, self._index, error)
            self._problems[record.name] = str(error)

    async def _share(self) -> None:
        """One gateway at a time keeps the snapshots, for a moment."""
        while True:
            try:
                async with self._coordination.work(self._index, "keeping snapshots"):
                    await self._take_stock()
                    await self._follow_all()
            except TrivetError as error:
                _log.debug("index %s: its snapshots are not kept by this gateway now: %s", self._index, error)
            await asyncio.sleep(_SHARE_EVERY)

    async def _take_stock(self) -> None:
        """Open what the catalogue keeps by now, leave what it does not. The caller holds the right to this work."""
        records = await self._catalogue.of(self._index)
        retained = {record.name: record for record in records if record.state is SnapshotState.RETAINED}
        for name, snapshot in list(self._kept.items()):
            if name not in retained or retained[name].changes != snapshot.changes:
                del self._kept[name]
        for name, record in retained.items():
            if name not in self._kept:
                await self._keep(record)
        for record in records:
            if record.state is SnapshotState.SUPERSEDED and self._leaving.get(record.name) != record.changes:
                self._leaving[record.name] = record.changes
                self._run(self._remove_shared(record))

    async def _remove_shared(self, record: SnapshotRecord) -> None:
        """Unless it has been removed since, and another one has its name."""
        await asyncio.sleep(REMOVE_AFTER)
        while True:
            try:
                async with self._coordination.work(self._index, "removing a snapshot"):
                    records = await self._catalogue.of(self._index)
                    if any((one.name, one.changes) == (record.name, record.changes) for one in records):
                        await self._store.drop(record.collection)
                        await self._catalogue.remove(self._index, record.name)
                    return
            except TrivetError as error:
                _log.debug("snapshot %s is removed later: %s", record.name, error)
            await asyncio.sleep(_RETRY)

    async def _follow(self) -> None:
        while True:
            self._logged.clear()
            if await self._follow_all():
                await self._logged.wait()
                await self._measure()
                await asyncio.sleep(_SETTLE)
            else:
                await asyncio.sleep(_RETRY)

    async def _follow_all(self) -> bool:
        """False if one of them could not be brought up to the log."""
        succeeded = True
        for snapshot in list(self._kept.values()):
            try:
                await self.follow(snapshot)
                self._problems.pop(snapshot.name, None)
            except (RetrievalUnavailable, FailedPrecondition) as error:
                if isinstance(error, CollectionMissing):
                    await self._make_again(snapshot)
                _log.warning("index %s: %s", self._index, error)
                self._problems[snapshot.name] = str(error)
                succeeded = False
        await self._measure()
        return succeeded

    async def _make_again(self, snapshot: Snapshot) -> None:
        with contextlib.suppress(RetrievalUnavailable):
            await snapshot.ensure()

    async def _measure(self) -> None:
        positions = [snapshot.progress.position for snapshot in self._kept.values()]
        self.lag = await self._log.behind(self._index, min(positions)) if positions else 0

    async def note(self, snapshot: Snapshot) -> None:
        """Let the catalogue know how far a snapshot is."""
        await self._catalogue.note(
            self._index, snapshot.name, applied=snapshot.progress.position, unoptimised=snapshot.unoptimised
        )

    async def _remove(self, record: SnapshotRecord, after: float) -> None:
        await asyncio.sleep(after)
        try:
            await self._store.drop(record.collection)
        except RetrievalUnavailable as error:
            _log.warning("snapshot %s is removed at the next start: %s", record.name, error)
            return
        await self._catalogue.remove(self._index, record.name)

    def _run(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("index %s: snapshots follow no longer", self._index, exc_info=task.exception())
