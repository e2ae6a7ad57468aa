"""The systems that are compared: each is asked one question and says how many passages it found."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from benchmarks.searching.halves import client_of, searched_for
from benchmarks.searching.passages import drawn, passage
from trivet.retrieval.service import IndexService
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.qdrant import points
from trivet.stores.records import DocumentKey, PassageRecord, PointKind, Revision, Visibility

TOP_K = 5
CANDIDATES = 50
Ask = Callable[[str], Awaitable[int]]
_BATCH = 500


def trivet(service: IndexService, index: str) -> Ask:
    """The whole of Trivet's search: embedding, hybrid search, heads."""

    async def ask(text: str) -> int:
        return len((await service.search(searched_for(index, text, TOP_K))).passages)

    return ask


async def llama_index(snapshot: Snapshot, stack: AsyncExitStack) -> Ask | None:
    """LlamaIndex's hybrid retriever on the same collection of the same process; None where it is not installed.

    It gets the same embedding model and cache, term vectors, filter and number of candidates.
    """
    try:
        from llama_index.core import VectorStoreIndex
        from llama_index.core.embeddings import BaseEmbedding
        from llama_index.vector_stores.qdrant import QdrantVectorStore
    except ImportError:
        return None

    class Embedding(BaseEmbedding):  # type: ignore[misc]
        """Our model."""

        async def _aget_query_embedding(self, query: str) -> list[float]:
            vector: list[float] = (await snapshot.embedder.embed_query(query)).tolist()
            return vector

        def _get_query_embedding(self, query: str) -> list[float]:
            raise NotImplementedError

        def _get_text_embedding(self, text: str) -> list[float]:
            raise NotImplementedError

    def term_vectors(asked: list[str]) -> tuple[list[list[int]], list[list[float]]]:
        vectors = [snapshot.terms.of_query(text) for text in asked]
        return [list(vector.indices) for vector in vectors], [list(vector.values) for vector in vectors]

    client = await stack.enter_async_context(client_of(snapshot))
    store = QdrantVectorStore(
        snapshot.collection,
        aclient=client,
        enable_hybrid=True,
        dense_vector_name=points.DENSE,
        sparse_vector_name=points.TERMS,
        sparse_doc_fn=term_vectors,
        sparse_query_fn=term_vectors,
    )
    # Spares it a call for the collection's description before each query, which the vector process does not answer.
    store._legacy_vector_format = False
    logging.getLogger("llama_index").setLevel(logging.ERROR)
    index = VectorStoreIndex.from_vector_store(store, embed_model=Embedding())

    async def ask(text: str) -> int:
        visible = points.visible(Visibility("", (), time.time()), ())
        retriever = index.as_retriever(
            vector_store_query_mode="hybrid",
            similarity_top_k=CANDIDATES,
            sparse_top_k=CANDIDATES,
            hybrid_top_k=TOP_K,
            vector_store_kwargs={"qdrant_filters": visible},
        )
        return len(await retriever.aretrieve(text))

    return ask


async def local_mode(snapshot: Snapshot, base: Sequence[str], number: int, stack: AsyncExitStack) -> Ask:
    """qdrant-client's local mode (brute force in this process), with the same points and the same call."""
    client = AsyncQdrantClient(location=":memory:")
    stack.push_async_callback(client.close)
    await client.create_collection(
        "local",
        vectors_config={
            points.DENSE: models.VectorParams(size=snapshot.embedder.dimension, distance=models.Distance.COSINE)
        },
        sparse_vectors_config={points.TERMS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    for start in range(0, number, _BATCH):
        made = [_point(snapshot, passage(base, n), n) for n in range(start, min(start + _BATCH, number))]
        await client.upsert("local", made)
        await asyncio.sleep(0)

    async def ask(text: str) -> int:
        dense: Any = (await snapshot.embedder.embed_query(text)).tolist()
        terms = snapshot.terms.of_query(text)
        sparse: Any = models.SparseVector(indices=list(terms.indices), values=list(terms.values))
        seen = points.visible(Visibility("", (), time.time()), ())
        response = await client.query_points(
            "local",
            prefetch=[
                models.Prefetch(query=dense, using=points.DENSE, filter=seen, limit=CANDIDATES),
                models.Prefetch(query=sparse, using=points.TERMS, filter=seen, limit=CANDIDATES),
            ],
            query=models.RrfQuery(rrf=models.Rrf(k=snapshot.settings.rrf_k)),
            limit=TOP_K,
        )
        return len(response.points)

    return ask


def _point(snapshot: Snapshot, text: str, n: int) -> models.PointStruct:
    record = PassageRecord(
        of=Revision(DocumentKey("", f"d{n}"), 1, "digest"),
        n=0,
        title="",
        text=text,
        n_tokens=0,
        start=0,
        end=len(text),
        tags=(),
        valid_from=None,
        valid_until=None,
        dense=drawn(text, snapshot.embedder.dimension).tolist(),
        terms=snapshot.terms.of_passage(text),
    )
    return points.passage_point(record, PointKind.PASSAGE)
