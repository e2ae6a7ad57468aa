"""One snapshot of an index: a collection, and the way in which documents become its passages."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.embedding.onnx_model import Vector
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.passages.splitting import Chunk, check_chunk_tokens
from trivet.retrieval.settings import IndexSettings, way_name
from trivet.retrieval.snapshot.duplicates import text_digest
from trivet.retrieval.snapshot.log_progress import LogProgress
from trivet.retrieval.snapshot.spelling import Spelling
from trivet.retrieval.snapshot.terms import TermVectors
from trivet.stores.log_entry import LogEntry
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import DocumentHead, PassageRecord, SparseVector
from trivet.stores.snapshot_catalogue import SnapshotRecord
from trivet.types.metadata import fields as field_rules
from trivet.types.passage import Document


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document cut into passages, with their vectors, and its fields in their types."""

    chunks: Sequence[Chunk]
    vectors: Sequence[Vector]
    terms: Sequence[SparseVector]
    fields: Mapping[str, field_rules.FieldValue]


class Snapshot:
    """Writes of one document are its caller's to order. For one event loop."""

    def __init__(
        self,
        record: SnapshotRecord,
        settings: IndexSettings,
        store: QdrantStore,
        embedder: OnnxEmbedder,
        splitting: SplittingPool,
        search_turns: FairSemaphore,
    ) -> None:
        """`settings`: the index's present ones; its record says what makes a snapshot.

        Raises FailedPrecondition if the embedding model is not the one that the snapshot was made with, or the settings
        do not go with it.
        """
        if (embedder.fingerprint, embedder.dimension) != (record.fingerprint, record.dimension):
            raise FailedPrecondition(
                f"index {settings.name!r}: snapshot {record.name} was made with an embedding model of "
                f"{record.dimension} dimensions, fingerprint {record.fingerprint[:12]}; {embedder.name} has "
                f"{embedder.dimension} dimensions, fingerprint {embedder.fingerprint[:12]}. Put the model back, or "
                f"stop the server and run `trivet index build {settings.name} --offline`"
            )
        self.name = record.name
        self.way = record.way
        self.collection = record.collection
        self.settings = settings.in_way(record.way)
        self.store = store
        self.embedder = embedder
        self.terms = TermVectors(self.settings.language, self.settings.chunk_tokens)
        self.spelling = Spelling(store, self.collection, self.terms) if settings.correct_spelling else None
        self.progress = LogProgress(record.applied)
        self.unoptimised = record.unoptimised
        self.changes = record.changes  # of the catalogue, when its state was last changed
        self.search_turns = search_turns
        self._splitting = splitting
        check_chunk_tokens(self.settings, embedder.room)

    @property
    def way_name(self) -> str:
        """What another snapshot of the same way has in common with this one."""
        return way_name(self.way, self.embedder.fingerprint)

    async def ensure(self) -> None:
        """Create the collection if need be; then everything is to be applied again."""
        if await self.store.ensure(self.collection, self.embedder.dimension, self.settings.fields):
            self.progress.restart()
            self.unoptimised = 0

    async def drop(self) -> None:
        """Delete the collection."""
        await self.store.drop(self.collection)

    async def check(self, document: Document) -> None:
        """Split it for nothing; raises DocumentRejected as `prepare` would."""
        self._fields(document, await self._split(document), strict=True)

    async def prepare(self, document: Document, *, patient: bool = True, strict: bool = False) -> PreparedDocument:
        """Split and embed; raises DocumentRejected, and Overloaded when too many wait and it is not `patient`.

        With `strict` also for a field that has not the type that the index declares; such a field is left out
        otherwise, because a document that was taken once stays.
        """
        chunks = await self._split(document, patient=patient)
        fields = self._fields(document, chunks, strict=strict)
        texts = [chunk.embedded if self.settings.headings else chunk.question or chunk.text for chunk in chunks]
        terms = await asyncio.to_thread(lambda: [self.terms.of_passage(text) for text in texts])
        return PreparedDocument(chunks, await self.embedder.embed_passages(texts, document.tenant), terms, fields)

    def _fields(
        self, document: Document, chunks: Sequence[Chunk], *, strict: bool
    ) -> dict[str, field_rules.FieldValue]:
        """Its own, and those that it was sent with, which have priority; raises DocumentRejected."""
        types = self.settings.fields
        every = {**chunks[0].fields, **document.fields}
        given = {name: value for name, value in every.items() if name in types}
        if not strict:
            return field_rules.fitting_values(types, given)
        try:
            return field_rules.field_values(types, given)
        except ValueError as error:
            raise DocumentRejected(f"document {document.id!r}: {error}") from None

    async def _split(self, document: Document, *, patient: bool = True) -> Sequence[Chunk]:
        export = self.embedder.exported.folder
        return await self._splitting.split(document, self.settings, export, self.embedder.room, patient=patient)

    async def replace(self, entry: LogEntry, prepared: PreparedDocument) -> None:
        """Write a document's passages, then let them count."""
        await self.store.stage(self.collection, self._records(entry, prepared))
        await self.store.publish(self.collection, DocumentHead(entry.of, False, len(prepared.chunks)))
        self.unoptimised += 1 + len(prepared.chunks)

    async def retire(self, entry: LogEntry) -> None:
        """Write a deleted document's tombstone and remove its passages."""
        await self.store.retire(self.collection, DocumentHead(entry.of, True, 0))

    async def restore(self, entry: LogEntry, prepared: PreparedDocument) -> None:
        """Write the passages of a head that counts already; searches go on finding those that are there."""
        await self.store.restore(self.collection, self._records(entry, prepared))

    async def head(self, entry: LogEntry) -> DocumentHead | None:
        """What counts of the entry's document."""
        return (await self.store.heads_of(self.collection, [entry.key])).get(entry.key)

    async def is_whole(self, head: DocumentHead) -> bool:
        """Exactly this head's passages are there, if need be after removing what a cut-short write has left behind."""
        count = await self.store.count_passages(self.collection, head.of.key)
        if count > head.passages:
            await self.store.clean(self.collection, head.of.key, None if head.deleted else head.of)
            count = await self.store.count_passages(self.collection, head.of.key)
        return count == head.passages

    def _records(self, entry: LogEntry, prepared: PreparedDocument) -> Iterator[PassageRecord]:
        for chunk, vector, terms in zip(prepared.chunks, prepared.vectors, prepared.terms, strict=True):
            yield PassageRecord(
                of=entry.of,
                n=chunk.n,
                title=chunk.title,
                text=chunk.text,
                n_tokens=chunk.n_tokens,
                start=chunk.start,
                end=chunk.end,
                tags=tuple(dict.fromkeys((*entry.tags, *chunk.tags))),
                valid_from=entry.valid_from,
                valid_until=entry.valid_until,
                dense=vector.tolist(),
                terms=terms,
                text_digest=text_digest(chunk.text),
                place=chunk.place,
                fields=prepared.fields,
            )


def free_name(base: str, taken: Collection[str]) -> str:
    """`base`, or `base` with the next build number if that name is taken."""
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
