"""Opening an index: which snapshot serves, and whether it has everything."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

from trivet.errors import CollectionUnreadable, FailedPrecondition
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.index.live import LiveSnapshot
from trivet.retrieval.index.locks import DocumentLocks
from trivet.retrieval.index.reconciler import ForeignCollection, Reconciler
from trivet.retrieval.index.renewal import Renewal
from trivet.retrieval.index.retained import RetainedSnapshots
from trivet.retrieval.index.tenure import Tenure
from trivet.retrieval.index.writer import Writer
from trivet.retrieval.settings import IndexSettings, way_name
from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.retrieval.snapshot.snapshot import Snapshot, free_name
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotRecord, SnapshotState

_log = logging.getLogger(__name__)

_SNAPSHOT = re.compile(r"[0-9a-f]{8}(-[0-9]+)?")


class IndexOpener:
    """Opens one index."""

    def __init__(self, settings: IndexSettings, stores: IndexResources) -> None:
        self._settings = settings
        self._stores = stores
        self._index = settings.name

    async def open(self, *, replace_unusable: bool = False) -> DocumentIndex:
        """Bring the live snapshot up to the log; when this returns, everything acknowledged is found.

        Raises FailedPrecondition if it was made with another embedding model than there is; with `replace_unusable` a
        new one is made from the log instead. Raises RetrievalUnavailable if the engine is down.
        """
        stores, locks = self._stores, DocumentLocks()
        replay, reconciler = Replay(self._index, stores.log), Reconciler(self._index, stores.log)
        wanted = await self._wanted()
        snapshot = await self._of_this_log(await self._live(wanted, replace_unusable), wanted, reconciler)
        tenure = Tenure(self._index, self._settings.retain, stores.catalogue, stores.coordination, self._open_serving)
        live = LiveSnapshot(snapshot, replay, locks, reconciler, stores.builder, tenure)
        await live.reconcile()
        await live.current()
        await live.keep()
        await self._remove_unknown()
        writer = Writer(self._settings, stores.log, live, replay, locks, stores.turns.commits)
        retained = RetainedSnapshots(
            self._index,
            stores.log,
            stores.catalogue,
            stores.vectors,
            replay,
            self._open_serving,
            writer.logged,
            stores.coordination,
        )
        renewal = Renewal(self._settings, stores, live, retained, self._open_in)
        return DocumentIndex(self._settings, wanted, live, retained, writer, renewal, reconciler, locks)

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
        """The live snapshot; the first one, empty, if there is none.

        Raises FailedPrecondition if the log was lost.
        """
        records = await self._stores.catalogue.of(self._index)
        unusable = ""
        for record in records:
            if record.state is SnapshotState.LIVE:
                try:
                    return await self._open_serving(record)
                except FailedPrecondition:
                    if not replace_unusable:
                        raise
                    unusable = record.name
        if not records:
            await self._refuse_lost_log()
        return await self._first(wanted, instead_of=unusable)

    async def _first(self, wanted: SnapshotRecord, *, instead_of: str) -> Snapshot:
        """A new one, empty and live, unless another gateway has made one meanwhile."""
        catalogue = self._stores.catalogue
        taken = {
            *(record.name for record in await catalogue.of(self._index)),
            *(await self._collections()).values(),
        }
        new = replace(wanted, name=free_name(wanted.name, taken), state=SnapshotState.SUPERSEDED)
        live = await catalogue.establish(
            new, instead_of, self._settings.retain, self._stores.coordination.entering(self._index)
        )
        return await self._open_serving(
            next(record for record in await catalogue.of(self._index) if record.name == live)
        )

    async def _of_this_log(self, snapshot: Snapshot, wanted: SnapshotRecord, reconciler: Reconciler) -> Snapshot:
        """The snapshot if it is of this log; else another one, and it is kept out of the way."""
        try:
            await snapshot.ensure()
            await reconciler.refuse_foreign(snapshot)
        except CollectionUnreadable:
            return snapshot  # it is made again from the log
        except ForeignCollection as error:
            made = await self._first(wanted, instead_of=snapshot.name)
            await self._stores.catalogue.remove(self._index, snapshot.name)
            where = await self._stores.builder.release(snapshot.collection)
            _log.error(
                "collection %s is not of this document log: %s that the log does not know. Index %s is made again from "
                "the log; the collection is kept %s",
                *(snapshot.collection, error, self._index, where),
            )
            return made
        return snapshot

    async def _refuse_lost_log(self) -> None:
        """Raise FailedPrecondition if the log knows nothing of this index, and the engine has something of it."""
        if await self._stores.log.behind(self._index, 0):
            return
        for collection in await self._collections():
            if await self._stores.vectors.points(collection) and not await self._stores.catalogue.of(self._index):
                raise FailedPrecondition(
                    f"the document log has nothing of index {self._index!r}, but the vector engine has its collection "
                    f"{collection}: the log was lost, or is another one's. Put the data folder back from a backup "
                    "(`trivet restore`); or, to begin anew without those documents, move the collection away"
                )

    async def _collections(self) -> dict[str, str]:
        """The engine's collections of this index, and the names of their snapshots."""
        found = {}
        for collection in await self._stores.vectors.collections():
            index, _, name = collection.rpartition("--")
            if index == self._index and _SNAPSHOT.fullmatch(name):
                found[collection] = name
        return found

    async def _open_serving(self, record: SnapshotRecord) -> Snapshot:
        return await self._open_in(record, self._stores.vectors)

    async def _open_in(self, record: SnapshotRecord, store: QdrantStore) -> Snapshot:
        embedder = await self._stores.embedders.get(self._settings.in_way(record.way).embedding)
        return Snapshot(record, self._settings, store, embedder, self._stores.splitting, self._stores.turns.searches)

    async def _remove_unknown(self) -> None:
        """Collections of this index that the catalogue does not have: empty ones go, others are kept out of the way."""
        if not self._stores.vectors.owned:
            return
        known = {record.collection for record in await self._stores.catalogue.of(self._index)}
        for collection in await self._collections():
            if collection in known:
                continue
            if not await self._stores.vectors.points(collection):
                await self._stores.vectors.drop(collection)
                continue
            where = await self._stores.builder.release(collection)
            _log.warning("collection %s is of no snapshot of index %s: it is kept %s", collection, self._index, where)
