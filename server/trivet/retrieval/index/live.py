"""The snapshot that serves."""

from __future__ import annotations

import asyncio
import logging

from trivet.errors import DocumentRejected
from trivet.retrieval.index.locks import DocumentLocks, Gate
from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.qdrant_connection import QdrantEndpoint
from trivet.stores.records import DocumentKey

_log = logging.getLogger(__name__)


class LiveSnapshot:
    """Hands out the live snapshot, brought up to the log first: at the start, and after each restart of its engine.

    Writers commit while they pass the `gate`; a swap is alone in it.
    """

    def __init__(self, snapshot: Snapshot, replay: Replay, locks: DocumentLocks) -> None:
        self.snapshot = snapshot
        self.gate = Gate()
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

    def swap(self, snapshot: Snapshot) -> Snapshot:
        """Serve another one, that has caught up; returns the one before. The caller is alone in the gate."""
        before, self.snapshot = self.snapshot, snapshot
        before.applied.follow()
        snapshot.applied.caught_up()
        self._told = snapshot.store.endpoint
        return before

    async def repair(self) -> None:
        """Finish the writes that have failed; raises RetrievalUnavailable."""
        snapshot = await self.current()
        for key in snapshot.applied.open:
            await self._bring(snapshot, key, only_open=True)

    async def close(self) -> None:
        """Stop catching up."""
        if self._catching_up is not None:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)

    async def _catch_up(self) -> None:
        snapshot, endpoint = self.snapshot, self.snapshot.store.endpoint
        await snapshot.ensure()
        async for entries in self._replay.missing(snapshot):
            for entry in entries:
                await self._bring(snapshot, entry.key)
        snapshot.applied.caught_up()
        self._told = endpoint

    async def _bring(self, snapshot: Snapshot, key: DocumentKey, *, only_open: bool = False) -> None:
        async with self._locks.turn(key), self.gate.passing():
            if snapshot is not self.snapshot or (only_open and not snapshot.applied.is_open(key)):
                return  # a snapshot that is live no longer is brought up to the log by who follows with it
            try:
                await self._replay.bring(snapshot, key)
            except DocumentRejected:
                # It was taken once. One document that can no longer be split must not take the others with it.
                _log.exception("a document of the log cannot be indexed: the index is without it")
                snapshot.applied.abandon(key)


def _noticed(task: asyncio.Task[None]) -> None:
    """Whoever waited for it may be gone."""
    if not task.cancelled():
        task.exception()
