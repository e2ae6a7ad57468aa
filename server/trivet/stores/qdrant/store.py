"""The vector store: one code path for the embedded vector process and for a Qdrant server.

A document's new revision is staged (no search finds it), then published, then its head is written, then what is older
is removed. A search that comes in between, or after a crash in between, can meet two revisions; a passage counts only
if its revision is its head's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from qdrant_client import models

from trivet.stores.qdrant import points
from trivet.stores.qdrant.conditions import Schema, field_indexes
from trivet.stores.qdrant.connection import QdrantConnection, QdrantEndpoint
from trivet.stores.qdrant.layout import ONE_COPY, CollectionLayout
from trivet.stores.qdrant.query import cosines, payload_of, query_message
from trivet.stores.records import (
    NO_EXCLUSIONS,
    AskedVectors,
    DocumentHead,
    DocumentKey,
    ExcludedPassages,
    FoundPassage,
    PassageId,
    PassageRecord,
    PointKind,
    Revision,
    Visibility,
    field_key,
)
from trivet.types.metadata.fields import FieldTypes

_PAGE = 1000
HALVES = (points.DENSE, points.TERMS)
_TEXTS_PAGE = 100  # each is some kilobytes, which are taken apart between the steps of others
_UPSERT_POINTS = 64  # per message: a call holds up the others, and messages have a size limit


class QdrantStore:
    """Passages and heads in Qdrant. Every method raises RetrievalUnavailable when the engine is down or too slow.

    All writes wait until they are durable and are ordered strongly; all reads are by a majority, where there are more
    copies than one.
    """

    def __init__(
        self,
        endpoint: Callable[[], QdrantEndpoint | None],
        *,
        owned: bool = False,
        layout: CollectionLayout = ONE_COPY,
        search_timeout: float = 1.5,
        timeout: float = 30.0,
    ) -> None:
        """`endpoint` is asked at every call and says None while the engine is down.

        Timeouts in seconds, per call. A search has a caller who waits for an answer; everything else, at the start and
        behind writes, would rather be slow than fail on a machine that is busy.

        `owned`: nobody else uses this engine, so that what is not known here may be removed from it. `layout`: of the
        collections that are created here.
        """
        self.owned = owned
        self._layout = layout
        self._connection = QdrantConnection(endpoint, max(search_timeout, timeout))
        self._search_timeout = search_timeout
        self._timeout = timeout

    @classmethod
    def embedded(cls, endpoint: Callable[[], QdrantEndpoint | None]) -> QdrantStore:
        """Over a vector process; `endpoint` says where it is at present, None while it is down."""
        return cls(endpoint, owned=True)

    @classmethod
    def remote(cls, endpoint: QdrantEndpoint, layout: CollectionLayout = ONE_COPY) -> QdrantStore:
        """Over a Qdrant server or cluster."""
        return cls(lambda: endpoint, layout=layout)

    @property
    def endpoint(self) -> QdrantEndpoint:
        """The present one; another one after each restart of an engine of our own."""
        return self._connection.endpoint

    async def close(self) -> None:
        """Close all connections."""
        await self._connection.close()

    async def collections(self) -> list[str]:
        """All names."""
        async with self._connection.call(self._timeout) as client:
            return [item.name for item in (await client.get_collections()).collections]

    async def exists(self, collection: str) -> bool:
        """Whether there is such a collection."""
        async with self._connection.call(self._timeout) as client:
            return bool(await client.collection_exists(collection))

    async def ensure(self, collection: str, dimension: int, fields: FieldTypes = {}) -> bool:  # noqa: B006 (never changed)
        """Create the collection and its payload indexes, those of documents' `fields` too, where they are missing. True
        if it was not there.
        """
        async with self._connection.call(self._timeout) as client:
            created = not await client.collection_exists(collection) and await self._create(
                client, collection, dimension
            )
            schemas: dict[str, Schema] = dict.fromkeys(points.KEYWORDS, models.PayloadSchemaType.KEYWORD)
            schemas["revision"] = models.PayloadSchemaType.INTEGER
            schemas["valid_from"] = schemas["valid_until"] = models.PayloadSchemaType.FLOAT
            for field, schema in {**schemas, **field_indexes(fields)}.items():
                await client.create_payload_index(collection, field, schema, wait=True)
        return created

    async def _create(self, client: Any, collection: str, dimension: int) -> bool:
        """False if another gateway has created it since."""
        try:
            await client.create_collection(
                collection,
                vectors_config={points.DENSE: models.VectorParams(size=dimension, distance=models.Distance.COSINE)},
                sparse_vectors_config={points.TERMS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                **self._layout.creation(),
            )
        except Exception:  # of whatever transport; what it was about decides
            if await client.collection_exists(collection):
                return False
            raise
        return True

    async def drop(self, collection: str) -> None:
        """Delete a collection; no error if there is none."""
        async with self._connection.call(self._timeout) as client:
            await client.delete_collection(collection)

    async def search(
        self,
        collection: str,
        asked: Sequence[AskedVectors],
        who: Visibility,
        *,
        limit: int,
        candidates: int,
        rrf_k: int,
        without: Sequence[Revision] = (),
        unwanted: ExcludedPassages = NO_EXCLUSIONS,
        moment: str = "",
        halves: Collection[str] = HALVES,
    ) -> list[FoundPassage]:
        """Dense and term search for each text, `candidates` of each, fused by reciprocal rank; the best `limit`.

        Vectors and, from an engine of our own, heads come along with what is found: then it is
        one call. Another engine is asked for the heads afterwards. A rank (from 0) counts 1 / ((rank + 1) / weight +
        `rrf_k` - 1). Finds published passages that `who` may see, none
        of the revisions in `without` and none `unwanted`; says of each whether it counts, and what its field `moment`,
        one of dates, says if it is named.
        """
        message = query_message(
            collection,
            asked,
            points.visible(who, without, unwanted),
            self._layout.search(),
            limit=limit,
            candidates=candidates,
            rrf_k=rrf_k,
            besides=(field_key(moment),) if moment else (),
            halves=halves,
        )
        async with self._connection.call(self._search_timeout) as client:
            response = await client.grpc_points.Query(message)
        payloads = [payload_of(point) for point in response.result]
        current = await self._current(collection, payloads)
        return [
            FoundPassage.of_payload(point.score, similarity, current, payload, moment)
            for point, similarity, payload in zip(
                response.result, cosines(asked, response.result), payloads, strict=True
            )
        ]

    async def _current(self, collection: str, found: Sequence[Mapping[str, Any]]) -> set[Revision]:
        """What the heads of these passages' documents say that counts, as it is after the search."""
        heads = [points.head_told(payload) for payload in found]
        keys = {Revision.of_payload(payload).key for payload, head in zip(found, heads, strict=True) if head is None}
        asked = await self._heads_of(collection, sorted(keys), self._search_timeout) if keys else {}
        return {head.of for head in (*heads, *asked.values()) if head is not None and not head.deleted}

    async def heads_of(self, collection: str, keys: Sequence[DocumentKey]) -> dict[DocumentKey, DocumentHead]:
        """The heads of those documents that have one, tombstones too."""
        return await self._heads_of(collection, keys, self._timeout)

    async def _heads_of(
        self, collection: str, keys: Sequence[DocumentKey], timeout: float
    ) -> dict[DocumentKey, DocumentHead]:
        async with self._connection.call(timeout) as client:
            found = await client.retrieve(
                collection,
                [points.head_id(key) for key in keys],
                with_payload=True,
                consistency=models.ReadConsistencyType.MAJORITY,
            )
        heads = [DocumentHead.of_payload(point.payload or {}) for point in found]
        return {head.of.key: head for head in heads}

    async def passages_at(self, collection: str, places: Sequence[PassageId]) -> dict[PassageId, FoundPassage]:
        """Published passages by their places, without scores; those that are not there are left out."""
        if not places:
            return {}
        async with self._connection.call(self._search_timeout) as client:
            found = await client.retrieve(
                collection,
                [points.passage_id(place) for place in places],
                with_payload=True,
                consistency=models.ReadConsistencyType.MAJORITY,
            )
        published = [point.payload for point in found if (point.payload or {}).get("kind") == PointKind.PASSAGE]
        passages = [FoundPassage.of_payload(0.0, 0.0, (), payload) for payload in published if payload]
        return {one.id: one for one in passages}

    async def heads(self, collection: str) -> dict[DocumentKey, DocumentHead]:
        """The heads of all documents, tombstones too."""
        heads = [DocumentHead.of_payload(payload) async for payload in self._scroll(collection, points.HEADS, True)]
        return {head.of.key: head for head in heads}

    async def passage_counts(self, collection: str) -> Counter[Revision]:
        """How many passages, staged ones too, there are of each revision."""
        fields = ["document_id", "tenant", "revision", "digest"]
        return Counter(
            [Revision.of_payload(payload) async for payload in self._scroll(collection, points.PASSAGES, fields)]
        )

    async def text_digests(self, collection: str) -> dict[DocumentKey, list[str]]:
        """The digests of the texts of each document's passages, sorted."""
        found: dict[DocumentKey, list[str]] = {}
        fields = ["document_id", "tenant", "text_digest"]
        async for payload in self._scroll(collection, points.of_kind(PointKind.PASSAGE), fields):
            key = DocumentKey(payload["tenant"], payload["document_id"])
            found.setdefault(key, []).append(payload.get("text_digest", ""))
        return {key: sorted(digests) for key, digests in found.items()}

    async def texts(self, collection: str) -> AsyncIterator[tuple[str, str]]:
        """The tenant of each published passage, and its title and text."""
        passages, fields = points.of_kind(PointKind.PASSAGE), ["tenant", "title", "text"]
        async for payload in self._scroll(collection, passages, fields, _TEXTS_PAGE):
            yield payload["tenant"], f"{payload['title']}\n{payload['text']}"

    async def points(self, collection: str) -> int:
        """How many points there are of all kinds."""
        return await self._count(collection, models.Filter())

    async def count(self, collection: str, kind: str) -> int:
        """How many points there are of a `PointKind`."""
        return await self._count(collection, points.of_kind(kind))

    async def count_passages(self, collection: str, key: DocumentKey) -> int:
        """How many passages there are of a document, staged ones too."""
        return await self._count(collection, points.passages_of(key))

    async def stage(self, collection: str, passages: Iterable[PassageRecord]) -> None:
        """Write passages so that no search finds them yet; those that are published already stay so.

        They are taken some at a time, in a thread: making many would hold up the event loop.
        """
        await self._upsert(collection, passages, PointKind.STAGED, points.NOT_PUBLISHED)

    async def restore(self, collection: str, passages: Iterable[PassageRecord]) -> None:
        """Write passages of a revision that is published already; they are taken as by `stage`."""
        await self._upsert(collection, passages, PointKind.PASSAGE, None)

    async def publish(self, collection: str, head: DocumentHead) -> None:
        """Let searches find the staged passages of `head`'s revision, write the head, remove what is older."""
        await self._batch(collection, points.publish(head.of), points.write_head(head), points.delete_others(head))

    async def retire(self, collection: str, head: DocumentHead) -> None:
        """Write the head of a deleted document and remove its passages."""
        await self._batch(collection, points.write_head(head), points.delete_others(head))

    async def clean(self, collection: str, key: DocumentKey, keep: Revision | None) -> None:
        """Remove the passages of a document that do not belong to `keep`: of writes that a crash has cut short."""
        await self._batch(collection, points.delete_strays(key, keep))

    async def tenure(self, collection: str) -> int | None:
        """The number that was written last by `write_tenure`, None if there is none; as bounded in time as a search."""
        async with self._connection.call(self._search_timeout) as client:
            found = await client.retrieve(
                collection, [points.TENURE_ID], with_payload=True, consistency=models.ReadConsistencyType.MAJORITY
            )
        return int((found[0].payload or {})["revision"]) if found else None

    async def write_tenure(self, collection: str, number: int) -> None:
        """Let the collection say this of itself, unless it says a greater number."""
        async with self._connection.call(self._timeout) as client:
            await client.upsert(
                collection,
                [points.tenure_point(number)],
                wait=True,
                ordering=models.WriteOrdering.STRONG,
                update_filter=points.below(number),
            )

    async def _upsert(
        self, collection: str, passages: Iterable[PassageRecord], kind: str, over: models.Filter | None
    ) -> None:
        left = iter(passages)
        while made := await asyncio.to_thread(_some_points, left, kind):
            async with self._connection.call(self._timeout) as client:
                await client.upsert(
                    collection,
                    made,
                    wait=True,
                    ordering=models.WriteOrdering.STRONG,
                    update_filter=over,
                )

    async def _batch(self, collection: str, *operations: Any) -> None:
        async with self._connection.call(self._timeout) as client:
            await client.batch_update_points(
                collection, list(operations), wait=True, ordering=models.WriteOrdering.STRONG
            )

    async def _count(self, collection: str, chosen: models.Filter) -> int:
        async with self._connection.call(self._timeout) as client:
            return (await client.count(collection, chosen, exact=True)).count

    async def _scroll(
        self, collection: str, chosen: models.Filter, fields: bool | list[str], page: int = _PAGE
    ) -> AsyncIterator[dict[str, Any]]:
        offset = None
        while True:
            async with self._connection.call(self._timeout) as client:
                found, offset = await client.scroll(
                    collection,
                    scroll_filter=chosen,
                    limit=page,
                    offset=offset,
                    with_payload=fields,
                    consistency=models.ReadConsistencyType.MAJORITY,
                )
            for point in found:
                yield point.payload or {}
            if offset is None:
                return


def _some_points(left: Iterator[PassageRecord], kind: str) -> list[models.PointStruct]:
    return [points.passage_point(passage, kind) for passage in islice(left, _UPSERT_POINTS)]
