"""The engines that the contract of QdrantStore is asked of, and short forms to ask it with."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

from trivet.stores.qdrant.connection import QdrantConnection, QdrantEndpoint
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import (
    NO_EXCLUSIONS,
    AskedVectors,
    DocumentHead,
    DocumentKey,
    ExcludedPassages,
    FoundPassage,
    PassageRecord,
    Revision,
    SparseVector,
    Visibility,
)

DIMENSION = 8
K = 2
EMBEDDED, LOCAL, SERVER = "embedded", "local", "server"
NO_SERVER = "QDRANT_URL is not set: no Qdrant server or cluster was asked"
# What the client's local mode cannot do, by the name of the case: shown as an expected failure, and noticed if it can.
LOCAL_CANNOT = {
    "test_an_unknown_collection_is_not_found": "local mode raises a bare ValueError",
}


class LocalClient(AsyncQdrantClient):
    """In local mode, which does not speak the protocol: a search's message is translated back."""

    def __init__(self) -> None:
        super().__init__(location=":memory:")

    @property
    def grpc_points(self) -> Any:
        """Answers `Query` itself."""
        return self

    async def Query(self, message: Any) -> Any:  # the protocol's name
        """The same search."""
        response = await self.query_points(
            message.collection_name,
            prefetch=[GrpcToRest.convert_prefetch_query(stage) for stage in message.prefetch],
            query=GrpcToRest.convert_query(message.query),
            limit=message.limit,
            with_payload=GrpcToRest.convert_with_payload_selector(message.with_payload),
            with_vectors=GrpcToRest.convert_with_vectors_selector(message.with_vectors),
        )
        return grpc.QueryResponse(result=[RestToGrpc.convert_scored_point(point) for point in response.points])


class LocalConnection(QdrantConnection):
    """All calls go to one client in local mode."""

    def __init__(self) -> None:
        super().__init__(lambda: QdrantEndpoint("local"), longest=30)
        self._local = LocalClient()

    def _connected(self) -> AsyncQdrantClient:
        return self._local


def server_endpoint() -> QdrantEndpoint:
    """The server that the environment names; skips where it names none."""
    url = os.environ.get("QDRANT_URL")
    if not url:
        pytest.skip(NO_SERVER)
    port = int(os.environ.get("QDRANT_GRPC_PORT", "6334"))
    return QdrantEndpoint(url.rstrip("/"), port, os.environ.get("QDRANT_API_KEY"))


def vector(angle: float) -> list[float]:
    """A unit vector; the cosine of two is that of their angles' difference."""
    return [math.cos(angle), math.sin(angle), *[0.0] * (DIMENSION - 2)]


def revision(number: int, document: str = "lamp", tenant: str = "") -> Revision:
    """One content of a document."""
    return Revision(DocumentKey(tenant, document), number, f"digest{number}")


def passages(
    of: Revision, angles: Sequence[float] = (0.0,), words: Sequence[Sequence[int]] = (), **fields: object
) -> list[PassageRecord]:
    """A passage per angle. `words`: the term numbers of each, by default its own number + 100."""
    made = []
    for n, angle in enumerate(angles):
        terms = words[n] if words else [100 + n]
        record = PassageRecord(
            of=of,
            n=n,
            title=f"{of.key.id} {of.revision}",
            text=f"passage {n} of {of.key.id}, revision {of.revision}",
            n_tokens=7,
            start=10 * n,
            end=10 * n + 9,
            tags=(),
            valid_from=None,
            valid_until=None,
            dense=vector(angle),
            terms=SparseVector(list(terms), [1.0] * len(terms)),
        )
        made.append(replace(record, **fields))  # type: ignore[arg-type]
    return made


async def put(store: QdrantStore, collection: str, records: Sequence[PassageRecord]) -> DocumentHead:
    """Stage and publish one document."""
    head = DocumentHead(records[0].of, deleted=False, passages=len(records))
    await store.stage(collection, records)
    await store.publish(collection, head)
    return head


async def search(
    store: QdrantStore,
    collection: str,
    angle: float = 0.0,
    words: Iterable[int] = (),
    *,
    tenant: str = "",
    tags: tuple[str, ...] = (),
    at: float = 1000.0,
    limit: int = 10,
    candidates: int = 10,
    without: Sequence[Revision] = (),
    unwanted: ExcludedPassages = NO_EXCLUSIONS,
    weights: tuple[float, float] = (1.0, 1.0),
) -> list[FoundPassage]:
    """A hybrid search."""
    terms = list(words)
    return await store.search(
        collection,
        [AskedVectors(vector(angle), SparseVector(terms, [1.0] * len(terms)), weights)],
        Visibility(tenant, tags, at),
        limit=limit,
        candidates=candidates,
        rrf_k=K,
        without=without,
        unwanted=unwanted,
    )


def who(found: Iterable[FoundPassage]) -> set[tuple[str, str, int]]:
    """Tenant, document and revision of what was found."""
    return {(one.of.key.tenant, one.of.key.id, one.of.revision) for one in found}
