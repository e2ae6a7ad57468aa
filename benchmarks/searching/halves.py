"""The halves of the hybrid search alone, asked of the same collection with the vendor's client."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from qdrant_client import AsyncQdrantClient, models

from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.qdrant import points
from trivet.stores.records import Visibility
from trivet.types.passage import SearchQuery

DENSE, TERMS, HYBRID = "dense", "BM25", "hybrid"
MODES = (DENSE, TERMS, HYBRID)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage: its document, its text."""

    document: str
    text: str


@asynccontextmanager
async def client_of(snapshot: Snapshot) -> AsyncIterator[AsyncQdrantClient]:
    """The vendor's client on the snapshot's engine."""
    endpoint = snapshot.store.endpoint
    client = AsyncQdrantClient(
        url=endpoint.url,
        grpc_port=endpoint.grpc_port,
        api_key=endpoint.api_key,
        prefer_grpc=True,
        check_compatibility=False,
        pool_size=1,
    )
    try:
        yield client
    finally:
        await client.close()


async def leg(client: AsyncQdrantClient, snapshot: Snapshot, mode: str, text: str, top_k: int) -> list[Hit]:
    """One half alone; the same passages are visible as to a search of nobody in particular."""
    query: Any
    if mode == DENSE:
        query, using = (await snapshot.embedder.embed_query(text)).tolist(), points.DENSE
    else:
        terms = snapshot.terms.of_query(text)
        if not terms.indices:
            return []
        query, using = models.SparseVector(indices=list(terms.indices), values=list(terms.values)), points.TERMS
    response = await client.query_points(
        snapshot.collection,
        query=query,
        using=using,
        query_filter=points.visible(Visibility("", (), time.time()), ()),
        limit=top_k,
        with_payload=["document_id", "text"],
    )
    return [Hit(found["document_id"], found["text"]) for found in ((point.payload or {}) for point in response.points)]


def searched_for(index: str, text: str, top_k: int) -> SearchQuery:
    """What a hybrid search of nobody in particular is asked."""
    return SearchQuery(index, text, "", top_k)
