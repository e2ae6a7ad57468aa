"""One index: its searches, its documents and its snapshots."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from trivet.errors import CollectionMissing, InvalidRequest, RetrievalUnavailable
from trivet.retrieval.index.live import LiveSnapshot
from trivet.retrieval.index.locks import DocumentLocks
from trivet.retrieval.index.maintenance import Maintenance
from trivet.retrieval.index.reconciler import Reconciler
from trivet.retrieval.index.renewal import Renewal
from trivet.retrieval.index.retained import RetainedSnapshots
from trivet.retrieval.index.writer import Writer
from trivet.retrieval.settings import IndexSettings, with_present_terms
from trivet.retrieval.snapshot.explain import explain
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.retrieval.snapshot.surroundings import search_with_surroundings
from trivet.stores.coordination import PATIENCE
from trivet.stores.records import PointKind
from trivet.stores.snapshot_catalogue import SnapshotRecord
from trivet.types.metadata.where import Where, bound, conjunction
from trivet.types.passage import BuildProgress, IndexStatus, QueryVector, SearchExplanation, SearchQuery, SearchResult

_log = logging.getLogger(__name__)

_SWAPS = 5  # during one search


class DocumentIndex:
    """Opened by `trivet.retrieval.index.opener`. For one event loop, and one process per document log."""

    def __init__(
        self,
        settings: IndexSettings,
        wanted: SnapshotRecord,
        live: LiveSnapshot,
        retained: RetainedSnapshots,
        writer: Writer,
        renewal: Renewal,
        reconciler: Reconciler,
        locks: DocumentLocks,
    ) -> None:
        """`wanted`: what a snapshot with the present settings would be."""
        self.settings = settings
        self.writer = writer
        self._wanted = wanted
        self._live = live
        self._retained = retained
        self._renewal = renewal
        self._reconciler = reconciler
        self._locks = locks
        self._maintenance = Maintenance(settings, live, retained, renewal)

    async def start(self) -> None:
        """Look after the snapshots from now on."""
        await self._retained.start()
        self._maintenance.start()

    async def close(self) -> None:
        """Let writes finish whose callers have gone."""
        await self._locks.drain()
        await self._maintenance.close()
        await self._retained.close()
        await self._live.close()

    @property
    def snapshot(self) -> str:
        """The live snapshot's name."""
        return self._live.snapshot.name

    @property
    def live(self) -> Snapshot:
        """What serves now."""
        return self._live.snapshot

    @property
    def lag(self) -> int:
        """Documents that the retained snapshot furthest behind does not have as the log has them."""
        return self._retained.lag

    @property
    def unoptimised(self) -> int:
        """Points written to the live snapshot since it was optimised."""
        return self._live.snapshot.unoptimised

    @property
    def repaired(self) -> int:
        """Documents that the live snapshot had lost and that were written again from the log, since the start."""
        return self._reconciler.repaired

    @property
    def build_due(self) -> str:
        """Why a build would make a new snapshot; empty if it would not."""
        live = self._live.snapshot
        if (with_present_terms(live.way), live.embedder.fingerprint) != (self._wanted.way, self._wanted.fingerprint):
            return "the settings for chunking or embedding are not those of the live snapshot"
        if self._maintenance.outdated:
            return "the live snapshot's terms were made by an earlier version; it is renewed by itself"
        if self._maintenance.worn:
            return f"{live.unoptimised} points were written since the live snapshot was optimised"
        return ""

    async def search(self, query: SearchQuery) -> SearchResult:
        """Hybrid search in the live snapshot. See `trivet.retrieval.snapshot.search`.

        Where other gateways may have made another one live meanwhile, it is made again there.
        """
        for _ in range(_SWAPS):
            snapshot = await self._live.current()
            try:
                found, around = await search_with_surroundings(snapshot, query, self._where(snapshot, query))
                if await self._live.still(snapshot):
                    embedder = snapshot.embedder
                    vector = await embedder.embed_query(query.asked, query.tenant)  # the search's own, kept since
                    asked = QueryVector(embedder.fingerprint[:12], vector)
                    return SearchResult(tuple(found), snapshot.name, query=asked, around=around)
            except CollectionMissing:
                if not await self._live.refresh():
                    raise
        raise RetrievalUnavailable("snapshots were swapped faster than they could be searched", retry_after=0.1)

    async def explain(self, query: SearchQuery) -> SearchExplanation:
        """How a search comes about in the live snapshot. See `trivet.retrieval.snapshot.explain`."""
        snapshot = await self._live.current()
        return await explain(snapshot, query, self._where(snapshot, query))

    def _where(self, snapshot: Snapshot, query: SearchQuery) -> Where | None:
        """What the query asks of fields, in the types that they have in the snapshot.

        Raises InvalidRequest for a field that the index does not declare or a value that does not go with its type, and
        RetrievalUnavailable for a field that was declared since the snapshot was made.
        """
        asked = conjunction(query.where)
        if asked is None:
            return None
        try:
            return bound(asked, snapshot.settings.fields)
        except ValueError as error:
            try:
                bound(asked, self.settings.fields)
            except ValueError:
                raise InvalidRequest({"where": str(error)}) from None
            told = f"index {self.settings.name!r} has no such fields before `trivet index build {self.settings.name}`"
            raise RetrievalUnavailable(f"{told}: {error}") from None

    async def status(self) -> IndexStatus:
        """Sizes, and how the snapshots are."""
        live = self._live.snapshot
        return IndexStatus(
            name=self.settings.name,
            snapshot=live.name,
            documents=await live.store.count(live.collection, PointKind.HEAD),
            passages=await live.store.count(live.collection, PointKind.PASSAGE),
            embedding_model=live.embedder.name,
            dimension=live.embedder.dimension,
            retained=tuple(await self._retained.names()),
            build_due=self.build_due,
            unoptimised=live.unoptimised,
            lag=self.lag,
            notes=_notes(live.settings),
        )

    async def renew(self) -> AsyncIterator[BuildProgress]:
        """Make a new snapshot as configured, and let it serve. See `trivet.retrieval.index.renewal`."""
        async for progress in self._renewal.renew(self._wanted.way):
            yield progress

    async def rollback(self, name: str, reason: str) -> None:
        """Let a retained snapshot serve: its chunking, model and settings, today's documents.

        Raises NotFound, FailedPrecondition, RetrievalUnavailable.
        """
        async with self._live.tenure.coordination.work(self.settings.name, "a rollback", patience=PATIENCE):
            await self._live.refresh()
            snapshot = await self._retained.take(name)
            await self._retained.mend(snapshot, self._reconciler)
            await self._renewal.swap(snapshot)
        _log.warning(
            "index %s: rolled back to snapshot %s: %s", self.settings.name, snapshot.name, reason or "no reason"
        )


def _notes(settings: IndexSettings) -> tuple[str, ...]:
    """The model that is the default was trained on English texts alone."""
    if settings.embedding.model is not None or settings.language == "english":
        return ()
    told = (
        f"language is {settings.language!r}, and the default embedding model knows English: search by meaning finds "
        "little. `embedding: {model: ...}` in index.yaml names another one, such as "
        "hub:sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
    )
    return (told,)
