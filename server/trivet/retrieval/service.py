"""All indexes of a gateway: what the pipeline searches and what operators change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trivet.errors import FailedPrecondition, InvalidRequest, NotFound
from trivet.retrieval.build import build
from trivet.retrieval.embedding import OnnxEmbedder
from trivet.retrieval.index import DocumentIndex
from trivet.retrieval.settings import EmbeddingSettings, IndexSettings
from trivet.stores.qdrant import QdrantStore
from trivet.types.passage import Acknowledgement, BuildProgress, Document, IndexStatus, SearchQuery, SearchResult

MAX_TOP_K = 100


async def open_embedders(indexes: Iterable[IndexSettings], cache: Path) -> dict[EmbeddingSettings, OnnxEmbedder]:
    """One embedder per model and precision that the indexes need, exported into `cache` where that is still to do."""
    wanted = sorted({index.embedding for index in indexes}, key=str)
    return {settings: await OnnxEmbedder.open(settings, cache) for settings in wanted}


class IndexService:
    """Implements the Retriever and the IndexAdministration port. For one event loop."""

    def __init__(
        self,
        store: QdrantStore,
        embedders: Mapping[EmbeddingSettings, OnnxEmbedder],
        indexes: Mapping[str, IndexSettings],
    ) -> None:
        """`embedders` has one for each index's `embedding`; FailedPrecondition if an index does not fit its."""
        self._splitting = ThreadPoolExecutor(1, "split-documents")
        self._indexes = {
            name: DocumentIndex(settings, store, embedders[settings.embedding], self._splitting)
            for name, settings in indexes.items()
        }
        self._building: set[str] = set()

    async def start(self) -> None:
        """Create the collections that are missing; raises RetrievalUnavailable if the engine is down."""
        for index in self._indexes.values():
            await index.start()

    async def close(self) -> None:
        """Let writes finish whose callers have gone. Store and embedders are the caller's to close, after this."""
        for index in self._indexes.values():
            await index.close()
        self._splitting.shutdown(wait=False, cancel_futures=True)

    async def search(self, query: SearchQuery) -> SearchResult:
        """Hybrid search among shared documents and the tenant's own.

        Raises NotFound for an unknown index, InvalidRequest, and RetrievalUnavailable when the engine is down or slow.
        """
        if not 1 <= query.top_k <= MAX_TOP_K:
            raise InvalidRequest({"top_k": f"expected 1 to {MAX_TOP_K}, got {query.top_k}"})
        index = self._index(query.index)
        if not query.text.strip():
            return SearchResult((), index.snapshot)
        return await index.search(query)

    async def upsert(self, index: str, document: Document) -> Acknowledgement:
        """Add or replace a document: durable and found by the next search when this returns.

        Raises NotFound for an unknown index, DocumentRejected, and RetrievalUnavailable: then it is not known whether
        it was written, and the same call again makes sure. Cancelled, it is written either whole or not at all.
        """
        return await self._index(index).upsert(document)

    async def delete(self, index: str, ids: Sequence[str], tenant: str = "") -> list[str]:
        """Delete documents of `tenant` (empty: shared ones); returns the ids that existed. No search finds them then."""
        found = self._index(index)
        return [id_ for id_ in dict.fromkeys(ids) if await found.delete(id_, tenant)]

    async def status(self) -> list[IndexStatus]:
        """All configured indexes, by name."""
        return [await self._indexes[name].status() for name in sorted(self._indexes)]

    async def build(self, index: str) -> AsyncIterator[BuildProgress]:
        """Bring the index up to its corpus folder; only what changed is embedded. See `trivet.retrieval.build`.

        Raises NotFound, FailedPrecondition if a build of it is running or there is no corpus, DocumentRejected before
        anything is written if a file cannot be indexed, RetrievalUnavailable.
        """
        found = self._index(index)
        if index in self._building:
            raise FailedPrecondition(f"index {index!r} is being built already")
        self._building.add(index)
        try:
            async for progress in build(found):
                yield progress
        finally:
            self._building.discard(index)

    def _index(self, name: str) -> DocumentIndex:
        try:
            return self._indexes[name]
        except KeyError:
            known = ", ".join(sorted(self._indexes)) or "none"
            raise NotFound(f"no index {name!r}; known: {known}") from None
