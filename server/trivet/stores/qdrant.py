"""The vector store: one code path for the embedded vector process and for a Qdrant server.

A document's new revision is staged (no search finds it), then published, then its head is written, then what is older
is removed. A search that comes in between, or after a crash in between, can meet two revisions, never half of one; the
reader keeps the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException

from trivet.errors import NotFound, RetrievalUnavailable
from trivet.stores.records import FoundPassage, Head, Kind, PassageRecord, Terms

_DENSE = "dense"
_TERMS = "terms"
_KEYWORDS = ("kind", "document_id", "digest", "tags", "tenant")
_FOUND = ["document_id", "revision", "digest", "n", "title", "text"]
_PAGE = 1000
_UPSERT_POINTS = 64  # per message: a call holds up the others, and messages have a size limit
_IDS = uuid.UUID("5f0f7c3e-6d0e-4c55-9a39-2f8f3a9d1b60")  # namespace of point ids: never to be changed
_MAX_MESSAGE_BYTES = 64 * 2**20
_OPTIONS = {
    "grpc.max_send_message_length": _MAX_MESSAGE_BYTES,
    "grpc.max_receive_message_length": _MAX_MESSAGE_BYTES,
}
_DOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNKNOWN"}
_REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
_CLOSE_GRACE = 5.0
_HEADS = models.FieldCondition(key="kind", match=models.MatchAny(any=[Kind.HEAD, Kind.GONE]))


@dataclass(frozen=True, slots=True)
class QdrantEndpoint:
    """Where Qdrant's gRPC is. `url` is `http://host` or, with TLS, `https://host`; its port is not used."""

    url: str
    grpc_port: int = 6334
    api_key: str | None = None


class QdrantStore:
    """Passages and heads in Qdrant. Every method raises RetrievalUnavailable when the engine is down or too slow.

    All writes wait until they are durable and are ordered strongly.
    """

    def __init__(
        self, endpoint: Callable[[], QdrantEndpoint | None], *, read_timeout: float = 1.5, write_timeout: float = 30.0
    ) -> None:
        """`endpoint` is asked at every call and says None while the engine is down. Timeouts in seconds, per call."""
        self._endpoint = endpoint
        self._read_timeout = read_timeout
        self._write_timeout = write_timeout
        self._client: AsyncQdrantClient | None = None
        self._client_of: QdrantEndpoint | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @classmethod
    def embedded(cls, address: Callable[[], str | None]) -> QdrantStore:
        """Over a vector process; `address` says its present `host:port`, None while it is down."""

        def endpoint() -> QdrantEndpoint | None:
            host, _, port = (address() or "").rpartition(":")
            return QdrantEndpoint(f"http://{host}", int(port)) if port else None

        return cls(endpoint)

    @classmethod
    def remote(cls, endpoint: QdrantEndpoint) -> QdrantStore:
        """Over a Qdrant server."""
        return cls(lambda: endpoint)

    async def close(self) -> None:
        """Close all connections."""
        client, self._client, self._client_of = self._client, None, None
        if client is not None:
            await client.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def ensure(self, collection: str, dimension: int) -> None:
        """Create the collection and its payload indexes where they are missing."""
        async with self._engine(self._write_timeout) as client:
            if not await client.collection_exists(collection):
                await client.create_collection(
                    collection,
                    vectors_config={_DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
                    sparse_vectors_config={_TERMS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                )
            for field in _KEYWORDS:
                await client.create_payload_index(collection, field, models.PayloadSchemaType.KEYWORD, wait=True)
            await client.create_payload_index(collection, "revision", models.PayloadSchemaType.INTEGER, wait=True)

    async def search(
        self,
        collection: str,
        dense: Sequence[float],
        terms: Terms,
        *,
        tenant: str,
        tags: Sequence[str],
        limit: int,
        candidates: int,
        rrf_k: int,
    ) -> list[FoundPassage]:
        """Dense and term search, `candidates` of each, fused by reciprocal rank (k = `rrf_k`); the best `limit`.

        Finds published passages of shared documents and of `tenant` that hold all `tags`; may hold two revisions of a
        document that is being replaced.
        """
        visible = models.Filter(
            must=[
                _is("kind", Kind.PASSAGE),
                models.FieldCondition(key="tenant", match=models.MatchAny(any=["", tenant] if tenant else [""])),
                *(_is("tags", tag) for tag in tags),
            ]
        )
        legs: list[tuple[str, Any]] = [(_DENSE, list(dense))]
        if terms.indices:
            legs.append((_TERMS, models.SparseVector(indices=list(terms.indices), values=list(terms.values))))
        async with self._engine(self._read_timeout) as client:
            response = await client.query_points(
                collection,
                prefetch=[models.Prefetch(query=q, using=name, filter=visible, limit=candidates) for name, q in legs],
                query=models.RrfQuery(rrf=models.Rrf(k=rrf_k)),
                limit=limit,
                with_payload=_FOUND,
            )
        return [FoundPassage(score=point.score, **(point.payload or {})) for point in response.points]

    async def head(self, collection: str, document_id: str) -> Head | None:
        """What is known of a document; also of a deleted one."""
        async with self._engine(self._read_timeout) as client:
            points = await client.retrieve(collection, [_point_id(document_id)], with_payload=True)
        return Head.of(points[0].payload or {}) if points else None

    async def heads(self, collection: str) -> list[Head]:
        """All documents, deleted ones too."""
        return [Head.of(payload) async for payload in self._scroll(collection, _only(_HEADS), True)]

    async def passage_counts(self, collection: str) -> Counter[tuple[str, int, str]]:
        """How many passages, staged ones too, there are of each (document id, revision, digest)."""
        fields = ["document_id", "revision", "digest"]
        payloads = self._scroll(collection, models.Filter(must_not=[_HEADS]), fields)
        return Counter([(p["document_id"], p["revision"], p["digest"]) async for p in payloads])

    async def count(self, collection: str, kind: str) -> int:
        """How many points there are of a `Kind`."""
        return await self._count(collection, _only(_is("kind", kind)))

    async def count_passages(self, collection: str, document_id: str) -> int:
        """How many passages there are of a document, staged ones too."""
        return await self._count(collection, models.Filter(must=[_is("document_id", document_id)], must_not=[_HEADS]))

    async def stage(self, collection: str, passages: Sequence[PassageRecord]) -> None:
        """Write passages so that no search finds them yet."""
        points = [_passage_point(passage) for passage in passages]
        for start in range(0, len(points), _UPSERT_POINTS):
            async with self._engine(self._write_timeout) as client:
                await client.upsert(
                    collection, points[start : start + _UPSERT_POINTS], wait=True, ordering=models.WriteOrdering.STRONG
                )

    async def publish(self, collection: str, head: Head) -> None:
        """Let searches find the staged passages of `head`'s revision, write the head, remove what is older."""
        await self._batch(
            collection,
            models.SetPayloadOperation(
                set_payload=models.SetPayload(payload={"kind": Kind.PASSAGE}, filter=_revision_of(head))
            ),
            _write_head(head),
            _delete(head.document_id, keep=head, up_to=head.revision),
        )

    async def retire(self, collection: str, head: Head) -> None:
        """Write the head of a deleted document and remove its passages."""
        await self._batch(collection, _write_head(head), _delete(head.document_id, up_to=head.revision))

    async def rewrite_head(self, collection: str, head: Head) -> None:
        """Replace a head by one of the same revision: a change that is not one of content."""
        points = models.PointsList(points=[_head_point(head)])
        await self._batch(collection, models.UpsertOperation(upsert=points))

    async def clean(self, collection: str, document_id: str, keep: Head | None) -> None:
        """Remove the passages of a document that do not belong to `keep`: writes that were never acknowledged."""
        await self._batch(collection, _delete(document_id, keep=keep))

    async def _batch(self, collection: str, *operations: Any) -> None:
        async with self._engine(self._write_timeout) as client:
            await client.batch_update_points(
                collection, list(operations), wait=True, ordering=models.WriteOrdering.STRONG
            )

    async def _count(self, collection: str, chosen: models.Filter) -> int:
        async with self._engine(self._read_timeout) as client:
            return (await client.count(collection, chosen, exact=True)).count

    async def _scroll(
        self, collection: str, chosen: models.Filter, fields: bool | list[str]
    ) -> AsyncIterator[dict[str, Any]]:
        offset = None
        while True:
            async with self._engine(self._write_timeout) as client:
                points, offset = await client.scroll(
                    collection, scroll_filter=chosen, limit=_PAGE, offset=offset, with_payload=fields
                )
            for point in points:
                yield point.payload or {}
            if offset is None:
                return

    @contextlib.asynccontextmanager
    async def _engine(self, timeout: float) -> AsyncIterator[AsyncQdrantClient]:
        """The client for one call, bounded in time, its errors translated. Cancellation passes through."""
        client = self._connected()
        try:
            async with asyncio.timeout(timeout):
                yield client
        except TimeoutError:
            raise RetrievalUnavailable(f"the vector engine did not answer within {timeout:g} s") from None
        except QdrantException as error:
            raise RetrievalUnavailable(f"the vector engine refused the call: {error}") from error
        except Exception as error:
            # The client raises its transport's errors, which have a status code; nothing else here knows the transport.
            code = getattr(error, "code", None)
            name = getattr(code(), "name", "") if callable(code) else ""
            if name in _DOWN:
                raise RetrievalUnavailable(f"the vector engine is not available ({name})") from error
            if name in _REFUSED:
                raise RetrievalUnavailable(f"the vector engine refuses our credential ({name})") from error
            if name == "NOT_FOUND":
                raise NotFound("the vector engine does not have this collection") from error
            raise

    def _connected(self) -> AsyncQdrantClient:
        endpoint = self._endpoint()
        if endpoint is None:
            raise RetrievalUnavailable("the vector engine is down and being started again")
        if self._client is None or endpoint != self._client_of:
            if self._client is not None:  # calls in flight on it end by themselves, or with the grace
                closing = asyncio.create_task(self._client.close(grpc_grace=_CLOSE_GRACE))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
            self._client = AsyncQdrantClient(
                url=endpoint.url,
                grpc_port=endpoint.grpc_port,
                prefer_grpc=True,
                api_key=endpoint.api_key,
                timeout=round(max(self._read_timeout, self._write_timeout)) + 1,
                check_compatibility=False,  # would ask over REST
                pool_size=1,
                grpc_options=dict(_OPTIONS),
            )
            self._client_of = endpoint
        return self._client


def _is(field: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _only(*conditions: models.FieldCondition) -> models.Filter:
    return models.Filter(must=list(conditions))


def _revision_of(head: Head) -> models.Filter:
    return _only(_is("document_id", head.document_id), _is("revision", head.revision), _is("digest", head.digest))


def _head_point(head: Head) -> models.PointStruct:
    # No vector: no search finds it.
    return models.PointStruct(id=_point_id(head.document_id), vector={}, payload=head.payload())


def _passage_point(passage: PassageRecord) -> models.PointStruct:
    terms = models.SparseVector(indices=list(passage.terms.indices), values=list(passage.terms.values))
    return models.PointStruct(
        id=_point_id(passage.document_id, passage.revision, passage.digest, passage.n),
        vector={_DENSE: list(passage.dense), _TERMS: terms},
        payload=passage.payload(),
    )


def _point_id(*parts: object) -> str:
    return str(uuid.uuid5(_IDS, "\0".join(str(part) for part in parts)))


def _write_head(head: Head) -> models.UpsertOperation:
    """Never over a newer one: a write whose caller gave up may arrive late."""
    older = _only(models.FieldCondition(key="revision", range=models.Range(lt=head.revision)))
    return models.UpsertOperation(upsert=models.PointsList(points=[_head_point(head)], update_filter=older))


def _delete(document_id: str, keep: Head | None = None, up_to: int | None = None) -> models.DeleteOperation:
    """Delete a document's passages, but for those of `keep` and those of revisions beyond `up_to`."""
    must: list[models.Condition] = [_is("document_id", document_id)]
    if up_to is not None:
        must.append(models.FieldCondition(key="revision", range=models.Range(lte=up_to)))
    spared: list[models.Condition] = [_HEADS]
    if keep is not None:
        spared.append(_revision_of(keep))
    return models.DeleteOperation(delete=models.FilterSelector(filter=models.Filter(must=must, must_not=spared)))
