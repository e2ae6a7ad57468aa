"""The models of the indexes, for texts that belong to none of their documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from trivet.errors import FailedPrecondition, NotFound
from trivet.excerpt import quote
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.rerank.rerank import Reranker
from trivet.types.answer import Embedded, Reranked


class IndexModels:
    """Implements the port of that name: the embedding model of each index's live snapshot, and its cross-encoder."""

    def __init__(self, indexes: Mapping[str, DocumentIndex], rerankers: Mapping[str, Reranker]) -> None:
        """Both by index. `rerankers`: of those that a route reranks with."""
        self._indexes = indexes
        self._rerankers = rerankers

    @property
    def indexes(self) -> Collection[str]:
        """Their names."""
        return self._indexes.keys()

    def dimension(self, index: str) -> int:
        """See the port."""
        return self._embedder(index).dimension

    async def embed(self, index: str, texts: Sequence[str], tenant: str, as_queries: bool) -> Embedded:
        """See the port."""
        vectors, tokens = await self._embedder(index).embed_texts(texts, tenant, as_queries=as_queries)
        return Embedded(tuple(vectors), tokens)

    async def score(self, index: str, query: str, texts: Sequence[str], tenant: str) -> Reranked:
        """See the port."""
        reranker = self._rerankers.get(index)
        if reranker is None:
            raise FailedPrecondition(f"no route reranks with index {quote(index)}")
        scores, tokens = await reranker.score_texts(query, texts, tenant)
        return Reranked(tuple(scores), tokens)

    def _embedder(self, index: str) -> OnnxEmbedder:
        found = self._indexes.get(index)
        if found is None:
            raise NotFound(f"no index {quote(index)}")
        return found.live.embedder
