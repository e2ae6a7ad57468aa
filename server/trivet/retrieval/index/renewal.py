"""Making a new snapshot beside the live one, and putting it in its place."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from trivet.errors import (
    CollectionMissing,
    CollectionUnreadable,
    FailedPrecondition,
    RetrievalUnavailable,
    TrivetError,
)
from trivet.retrieval.index.live import LiveSnapshot
from trivet.retrieval.index.retained import RetainedSnapshots
from trivet.retrieval.settings import IndexSettings, way_name
from trivet.retrieval.snapshot.check import check_counts, check_recall, own_questions
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.retrieval.snapshot.snapshot import Snapshot, free_name
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotRecord, SnapshotState
from trivet.types.passage import BuildProgress

_log = logging.getLogger(__name__)

OpenIn = Callable[[SnapshotRecord, QdrantStore], Awaitable[Snapshot]]


class Renewal:
    """Renews one index. It can be stopped at any time and goes on where it was; the live snapshot stays until the end.

    1. everything of the log into a new snapshot in the builder's store; 2. what the builder does at its end, such as
    optimising; 3. what came meanwhile; 4. the check; 5. alone with the live snapshot: the last entries, and the swap.
    """

    def __init__(
        self,
        settings: IndexSettings,
        stores: IndexResources,
        live: LiveSnapshot,
        retained: RetainedSnapshots,
        open_in: OpenIn,
    ) -> None:
        self._settings = settings
        self._index = settings.name
        self._stores = stores
        self._live = live
        self._retained = retained
        self._open_in = open_in
        self._busy = asyncio.Lock()

    @property
    def optimises(self) -> bool:
        """A renewed snapshot searches faster than one that was written to."""
        return self._stores.builder.optimises

    async def renew(self, way: Mapping[str, Any], *, keep: bool = True) -> AsyncIterator[BuildProgress]:
        """Make a snapshot in this way and let it serve; `keep` the one before for a rollback.

        Raises FailedPrecondition if it does not pass the check, or another one was made live meanwhile.
        """
        if self._busy.locked():
            raise FailedPrecondition(f"a new snapshot of index {self._index!r} is being made already")
        async with self._busy, self._stores.coordination.work(self._index, "a build"):
            async for progress in self._renew(way, keep):
                yield progress

    async def _renew(self, way: Mapping[str, Any], keep: bool) -> AsyncIterator[BuildProgress]:
        await self._live.current()
        await self._live.refresh()
        before = _state(self._live.snapshot)
        record = await self._begin(way)
        async with self._stores.builder.making(record.collection) as store:
            making = await self._open_in(record, store)
            await making.ensure()
            async for progress in self._fill(making):
                yield progress
            if self._stores.builder.optimises:
                yield BuildProgress("optimise", 0, 1)
        record = next(item for item in await self._stores.catalogue.of(self._index) if item.name == record.name)
        made = await self._open_in(record, self._stores.vectors)
        made.unoptimised = 0
        await made.ensure()
        await self._retained.follow(made)
        yield BuildProgress("check", 0, 1)
        readable = await self._check(made)
        yield BuildProgress("check", 1, 1)
        await self.swap(made, keep=keep and readable, instead_of=before)
        yield BuildProgress("swap", 1, 1)

    async def swap(self, snapshot: Snapshot, *, keep: bool = True, instead_of: tuple[str, int] | None = None) -> None:
        """Let a snapshot that follows the log serve, and `keep` the live one for a rollback.

        Raises FailedPrecondition if that is not the one it is to serve `instead_of`: its name and `changes`.
        """
        swapping = asyncio.create_task(self._swap(snapshot, keep, instead_of))
        await asyncio.shield(swapping)  # half of it must not happen

    async def _swap(self, snapshot: Snapshot, keep: bool, instead_of: tuple[str, int] | None) -> None:
        """Whatever dies in between, the catalogue decides which one is live, and the other one is as it was."""
        coordination = self._stores.coordination
        await self._retained.follow(snapshot)
        async with self._live.gate.exclusive():
            await coordination.close_writes(self._index)
            try:
                await self._live.refresh()
                if instead_of not in (None, _state(self._live.snapshot)):  # by a rollback, which shall hold
                    raise FailedPrecondition(
                        f"index {self._index!r}: snapshot {self._live.snapshot.name} was made live while "
                        f"{snapshot.name} was made, and stays; build again if the new one is to serve"
                    )
                await self._retained.follow(snapshot, to_the_end=True)
                await check_counts(snapshot, self._index, self._stores.log)
                await self._live.tenure.end(self._live.snapshot)
                record = await self._stores.catalogue.swap(
                    self._index,
                    snapshot.name,
                    self._settings.retain,
                    keep=keep,
                    before=coordination.swapping(self._index),
                )
            except BaseException:
                with contextlib.suppress(TrivetError):  # if it cannot be told, the right to the swap expires
                    await coordination.reopen_writes(self._index)
                raise
            snapshot.changes = record.changes
            before = self._live.swap(snapshot)
            self._retained.withdraw(snapshot.name)
        await self._retained.add(before)
        with contextlib.suppress(RetrievalUnavailable):  # searches ask the catalogue until it is told
            await self._live.keep()

    async def _begin(self, way: Mapping[str, Any]) -> SnapshotRecord:
        """The record of the snapshot to make: the one that was begun, if it was in the same way."""
        embedder = await self._stores.embedders.get(self._settings.in_way(way).embedding)
        records = await self._stores.catalogue.of(self._index)
        for record in records:
            if record.state is SnapshotState.BUILDING:
                if (record.way, record.fingerprint) == (way, embedder.fingerprint):
                    return record
                await self._stores.builder.discard(record.collection)
                await self._stores.catalogue.remove(self._index, record.name)
        name = free_name(way_name(way, embedder.fingerprint), {record.name for record in records})
        record = SnapshotRecord(
            self._index, name, SnapshotState.BUILDING, dict(way), embedder.fingerprint, embedder.dimension
        )
        await self._stores.catalogue.add(record)
        return record

    async def _fill(self, snapshot: Snapshot) -> AsyncIterator[BuildProgress]:
        """Everything of the log, in order; progress per document."""
        total = await self._stores.log.behind(self._index, snapshot.progress.position)
        done = 0
        async for document_id in self._retained.following(snapshot):
            done += 1
            yield BuildProgress("write", done, max(done, total), document_id)

    async def _check(self, made: Snapshot) -> bool:
        """False if there is nothing to compare with, because the live snapshot cannot be read."""
        questions = own_questions(self._settings.questions, await self._stores.log.all_newest(self._index))
        try:
            await check_recall(made, await self._live.current(), questions)
        except (CollectionMissing, CollectionUnreadable) as error:
            _log.warning("snapshot %s is not compared with the live one: %s", made.name, error)
            return False
        return True


def _state(snapshot: Snapshot) -> tuple[str, int]:
    return snapshot.name, snapshot.changes
