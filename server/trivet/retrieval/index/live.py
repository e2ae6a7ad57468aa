"""The snapshot that serves."""

from __future__ import annotations

import asyncio
import logging

from trivet.errors import (
    CollectionMissing,
    CollectionUnreadable,
    DocumentDamaged,
    DocumentRejected,
)
from trivet.retrieval.index.locks import DocumentLocks, SharedExclusiveLock
from trivet.retrieval.index.reconciler import Reconciler
from trivet.retrieval.index.tenure import Tenure
from trivet.retrieval.snapshot import builder as snapshot_builder
from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.records import DocumentKey
from trivet.stores.write_terms import WriteConflict

_log = logging.getLogger(__name__)


class LiveSnapshot:
    """Hands out the live snapshot, brought up to the log first: at the start, and after each restart of its engine.

    Writers commit while they pass the `gate`; a swap is alone in it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        replay: Replay,
        locks: DocumentLocks,
        reconciler: Reconciler,
        builder: snapshot_builder.SnapshotBuilder,
        tenure: Tenure,
    ) -> None:
        """`builder`: takes a collection that cannot be read out of the way. `tenure`: of the snapshots of the index."""
        self.snapshot = snapshot
        self.tenure = tenure
        self._refreshing = asyncio.Lock()
        self._reconciler = reconciler
        self._builder = builder
        self._reconciled: tuple[str, QdrantEndpoint] | None = None
        self.gate = SharedExclusiveLock()
        self._replay = replay
        self._locks = locks
        self._told: QdrantEndpoint | None = None  # the engine that has everything
        self._catching_up: asyncio.Task[None] | None = None

    async def current(self) -> Snapshot:
        """The live snapshot, with everything in it that was ever acknowledged. Raises RetrievalUnavailable.

        Not to be called by who holds a turn with a document.
        """
        while self._told != self.snapshot.store.endpoint:
            if self._catching_up is None or self._catching_up.done():
                self._catching_up = asyncio.create_task(self._catch_up())
                self._catching_up.add_done_callback(_noticed)
            await asyncio.shield(self._catching_up)
        return self.snapshot

    async def refresh(self) -> bool:
        """Serve what the catalogue says is live; whether that is another one, or is live anew.

        Only other gateways change it without this one. Raises RetrievalUnavailable.
        """
        if not self.tenure.shared:
            return False
        async with self._refreshing:
            opened = await self.tenure.opened_instead_of(self.snapshot)
            if opened is None:
                return False
            _log.info("snapshot %s is live: another gateway says so", opened.collection)
            self.swap(opened)
            return True

    async def still(self, snapshot: Snapshot) -> bool:
        """Whether it was the live one when this was called, so that a search of it missed nothing.

        Raises RetrievalUnavailable if that cannot be told.
        """
        if await self.tenure.says_live(snapshot):
            return True
        await self.refresh()
        return self.snapshot is snapshot

    async def keep(self) -> None:
        """Follow the swaps of other gateways; let the live collection say that it is. Raises RetrievalUnavailable."""
        await self.refresh()
        await self.tenure.keep(self.snapshot)
        await self.refresh()

    async def reconcile(self) -> None:
        """Compare the snapshot with the log, whole, once per start of its engine; see `Reconciler.reconcile`.

        One that is there no more, or that cannot be read, is made again from the log. Raises RetrievalUnavailable.
        """
        snapshot, endpoint = await self.current(), self.snapshot.store.endpoint
        if self._reconciled == (snapshot.name, endpoint):
            if await snapshot.store.exists(snapshot.collection):
                return
            _log.error("snapshot %s: its collection is gone; it is made again from the log", snapshot.collection)
            self._told = None
            return
        try:
            await self._reconciler.reconcile(snapshot, self._bring)
        except CollectionMissing:
            self._told = None
            raise
        except CollectionUnreadable as error:
            await self._set_aside(snapshot, error)
            return
        self._reconciled = (snapshot.name, endpoint)

    def swap(self, snapshot: Snapshot) -> Snapshot:
        """Serve another one, that has caught up; returns the one before. The caller is alone in the gate."""
        before, self.snapshot = self.snapshot, snapshot
        before.progress.follow()
        snapshot.progress.caught_up()
        self._told = snapshot.store.endpoint
        return before

    async def repair(self) -> None:
        """Finish the writes that have failed, here or at a gateway that is gone; raises RetrievalUnavailable."""
        snapshot = await self.current()
        for key in snapshot.progress.open:
            await self._bring(snapshot, key, only_open=True)
        for key in await self.tenure.coordination.abandoned(self.tenure.index):
            if not self._locks.held(key) and await self._bring(snapshot, key):
                _log.warning("snapshot %s: an unfinished write of %r was finished", snapshot.collection, key.id)

    async def close(self) -> None:
        """Stop catching up."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)

    async def _catch_up(self) -> None:
        await self.refresh()
        snapshot, endpoint = self.snapshot, self.snapshot.store.endpoint
        try:
            await self._apply_log(snapshot)
        except CollectionUnreadable as error:
            await self._set_aside(snapshot, error)
            await self._apply_log(snapshot)
        snapshot.progress.caught_up()
        self._told = endpoint

    async def _apply_log(self, snapshot: Snapshot) -> None:
        await snapshot.ensure()
        position, lost = snapshot.progress.position, 0
        if missing := await self._reconciler.missing_documents(snapshot):
            _log.warning("snapshot %s lacks %d documents: all are looked at", snapshot.collection, missing)
            snapshot.progress.restart()
        async for entries in self._replay.missing(snapshot):
            for entry in entries:
                lost += await self._bring(snapshot, entry.key) and entry.seq <= position
        self._reconciler.restored(lost)

    async def _set_aside(self, snapshot: Snapshot, error: CollectionUnreadable) -> None:
        """Let the collection be made again from the log; raises `error` if its engine is not ours."""
        if not await self._builder.set_aside(snapshot.collection):
            raise error
        self._told = None
        _log.error("snapshot %s cannot be read (%s); it is made again from the log", snapshot.collection, error)

    async def _bring(self, snapshot: Snapshot, key: DocumentKey, *, only_open: bool = False) -> bool:
        async with self._locks.hold(key), self.gate.shared():
            if snapshot is not self.snapshot or (only_open and not snapshot.progress.is_open(key)):
                return False  # a snapshot that is live no longer is brought up to the log by who follows with it
            try:
                async with self.tenure.claimed(snapshot, key):
                    return await self._replay.bring(snapshot, key)
            except WriteConflict:
                return False  # another gateway writes it, or this snapshot is live no longer
            except (DocumentRejected, DocumentDamaged) as error:
                # It was taken once. One document that can no longer be split must not take the others with it.
                _log.error("snapshot %s is without a document of the log: %s", snapshot.collection, error)
                snapshot.progress.abandon(key)
                return False


def _noticed(task: asyncio.Task[None]) -> None:
    """Whoever waited for it may be gone."""
    if not task.cancelled():
        task.exception()
