"""Opening an index: which snapshot serves, and whether it has everything."""

from __future__ import annotations

import re
from dataclasses import replace

from trivet.errors import FailedPrecondition
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.index.live import LiveSnapshot
from trivet.retrieval.index.locks import DocumentLocks
from trivet.retrieval.index.renewal import Renewal
from trivet.retrieval.index.shelf import Shelf
from trivet.retrieval.index.sweeper import Sweeper
from trivet.retrieval.index.writer import Writer
from trivet.retrieval.settings import IndexSettings, way_name
from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.snapshot import Snapshot, free_name
from trivet.retrieval.snapshot.stores import Stores
from trivet.stores.qdrant import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotRecord, SnapshotState

_SNAPSHOT = re.compile(r"[0-9a-f]{8}(-[0-9]+)?")


class Opener:
    """Opens one index."""

    def __init__(self, settings: IndexSettings, stores: Stores) -> None:
        self._settings = settings
        self._stores = stores
        self._index = settings.name

    async def open(self, *, replace_unusable: bool = False) -> DocumentIndex:
        """Bring the live snapshot up to the log; when this returns, everything acknowledged is found.

        Raises FailedPrecondition if it was made with another embedding model than there is; with `replace_unusable` a
        new one is made from the log instead. Raises RetrievalUnavailable if the engine is down.
        """
        stores, locks = self._stores, DocumentLocks()
        replay = Replay(self._index, stores.log)
        wanted = await self._wanted()
        snapshot = await self._live(wanted, replace_unusable)
        live = LiveSnapshot(snapshot, replay, locks)
        sweeper = Sweeper(self._index, stores.log, replay)
        await snapshot.ensure()
        await sweeper.refuse_foreign(snapshot)
        await live.current()
        await sweeper.sweep(snapshot)
        await self._remove_unknown()
        writer = Writer(self._settings, stores.log, live, replay, locks)
        shelf = Shelf(
            self._index, stores.log, stores.catalogue, stores.vectors, replay, self._open_serving, writer.logged
        )
        renewal = Renewal(self._settings, stores, live, shelf, self._open_in)
        return DocumentIndex(self._settings, wanted, live, shelf, writer, renewal, locks)

    async def _wanted(self) -> SnapshotRecord:
        """What a snapshot with the present settings is."""
        embedder = await self._stores.embedders.get(self._settings.embedding)
        way = self._settings.way()
        return SnapshotRecord(
            self._index,
            way_name(way, embedder.fingerprint),
            SnapshotState.BUILDING,
            way,
            embedder.fingerprint,
            embedder.dimension,
        )

    async def _live(self, wanted: SnapshotRecord, replace_unusable: bool) -> Snapshot:
        """The live snapshot; the first one, empty, if there is none."""
        records = await self._stores.catalogue.of(self._index)
        for record in records:
            if record.state is SnapshotState.LIVE:
                try:
                    return await self._open_serving(record)
                except FailedPrecondition:
                    if not replace_unusable:
                        raise
        name = free_name(wanted.name, records)
        await self._stores.catalogue.add(replace(wanted, name=name, state=SnapshotState.SUPERSEDED))
        await self._stores.catalogue.swap(self._index, name, self._settings.retain)
        return await self._open_serving(replace(wanted, name=name))

    async def _open_serving(self, record: SnapshotRecord) -> Snapshot:
        return await self._open_in(record, self._stores.vectors)

    async def _open_in(self, record: SnapshotRecord, store: QdrantStore) -> Snapshot:
        embedder = await self._stores.embedders.get(self._settings.in_way(record.way).embedding)
        return Snapshot(record, self._settings, store, embedder, self._stores.splitting)

    async def _remove_unknown(self) -> None:
        """Collections of this index that the catalogue does not have, left by a crash or an earlier version."""
        if not self._stores.vectors.owned:
            return
        known = {record.collection for record in await self._stores.catalogue.of(self._index)}
        for collection in await self._stores.vectors.collections():
            index, _, name = collection.rpartition("--")
            if index == self._index and _SNAPSHOT.fullmatch(name) and collection not in known:
                await self._stores.vectors.drop(collection)
