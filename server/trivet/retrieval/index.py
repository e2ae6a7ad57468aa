"""One index: its searches and its documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from trivet.errors import RetrievalUnavailable
from trivet.retrieval.documents import check_id, digest_of, text_of
from trivet.retrieval.embedding import OnnxEmbedder
from trivet.retrieval.locks import DocumentLocks
from trivet.retrieval.settings import IndexSettings
from trivet.retrieval.splitting import Chunk, Splitter
from trivet.retrieval.terms import TermVectors
from trivet.stores.qdrant import QdrantStore
from trivet.stores.records import FoundPassage, Head, Kind, Origin, PassageRecord
from trivet.types.passage import Acknowledgement, Document, IndexStatus, Passage, SearchQuery, SearchResult

_TIES = 4  # more passages than asked for, so that a tie at the last place is seen whole


class DocumentIndex:
    """Documents of one index in one snapshot's collection. For one event loop and, per document, one gateway.

    Writers of a document take turns. A writer that is cancelled, or whose engine fails, leaves the document as it was
    or as it wanted it, never in between for a reader; what it left over goes with the next write or the next start.
    """

    def __init__(
        self, settings: IndexSettings, store: QdrantStore, embedder: OnnxEmbedder, splitting: ThreadPoolExecutor
    ) -> None:
        """`splitting`: one thread. Raises FailedPrecondition if the settings do not go with the embedding model."""
        self.settings = settings
        self.snapshot = settings.snapshot(embedder.digest)
        self._collection = f"{settings.name}--{self.snapshot}"
        self._store = store
        self._embedder = embedder
        self._splitting = splitting
        self._splitter = Splitter(settings, embedder.model, embedder.room)
        self._terms = TermVectors(settings.language, settings.chunk_tokens)
        self._locks = DocumentLocks()
        # The highest revision that a failed write tried: it may still arrive at the engine, so it is not used again.
        self._tried: dict[str, int] = {}

    async def start(self) -> None:
        """Create the collection if need be and remove what writes left behind that were never acknowledged."""
        await self._store.ensure(self._collection, self._embedder.dimension)
        await self._sweep()

    async def close(self) -> None:
        """Let writes finish whose callers have gone."""
        await self._locks.drain()

    async def search(self, query: SearchQuery) -> SearchResult:
        """Hybrid search; nothing is kept but the query's vector."""
        dense = await self._embedder.embed_query(query.text)
        found = await self._store.search(
            self._collection,
            dense.tolist(),
            self._terms.of_query(query.text),
            tenant=query.tenant,
            tags=query.tags,
            limit=2 * query.top_k + _TIES,  # room for a second revision of what is being replaced
            candidates=max(self.settings.candidates, 2 * query.top_k + _TIES),
            rrf_k=self.settings.rrf_k,
        )
        # Ranks tie often (first by meaning and second by words, and the reverse), and the engine breaks ties by chance.
        found.sort(key=lambda one: (-one.score, one.document_id, one.n))
        passages = [_passage(one) for one in _newest(found) if one.score >= query.min_score]
        return SearchResult(tuple(passages[: query.top_k]), self.snapshot)

    async def upsert(self, document: Document, origin: Origin = Origin.UPSERT) -> Acknowledgement:
        """Add or replace a document. Raises DocumentRejected."""
        text_of(document, self.settings.max_document_bytes)
        digest = digest_of(document)
        async with self._locks.turn(document.id) as turn:
            old = await self._store.head(self._collection, document.id)
            if old is not None and not old.deleted and old.digest == digest and await self._whole(old):
                head = replace(old, origin=origin, corpus_digest=_corpus_digest(old, origin, digest))
                if head != old:
                    await turn.finish(self._store.rewrite_head(self._collection, head))
                return Acknowledgement(document.id, old.revision, True, old.passages)
            chunks = await self._split(document)
            head = Head(
                document_id=document.id,
                revision=max(old.revision if old else 0, self._tried.get(document.id, 0)) + 1,
                digest=digest,
                origin=origin,
                corpus_digest=_corpus_digest(old, origin, digest),
                deleted=False,
                passages=len(chunks),
                title=document.title,
                source=document.source,
                tags=tuple(sorted(set(document.tags))),
                tenant=document.tenant,
            )
            vectors = await self._embedder.embed_passages([chunk.embedded for chunk in chunks])
            passages = [
                self._record(head, chunk, vector.tolist()) for chunk, vector in zip(chunks, vectors, strict=True)
            ]
            await turn.finish(self._replace(head, passages))
        return Acknowledgement(document.id, head.revision, False, len(chunks))

    async def delete(self, document_id: str, tenant: str = "") -> bool:
        """Delete a document of `tenant`, empty for a shared one; False if there was none."""
        check_id(document_id)
        async with self._locks.turn(document_id) as turn:
            old = await self._store.head(self._collection, document_id)
            if old is None or old.deleted or old.tenant != tenant:
                return False
            await turn.finish(self._remove(old))
        return True

    async def heads(self) -> dict[str, Head]:
        """What is known of every document, deleted ones too, by id."""
        return {head.document_id: head for head in await self._store.heads(self._collection)}

    async def forget_file(self, document_id: str) -> bool:
        """Its file has gone from the corpus: delete the document, unless an upsert has replaced it. True if deleted."""
        async with self._locks.turn(document_id) as turn:
            old = await self._store.head(self._collection, document_id)
            if old is None or not old.corpus_digest:
                return False
            head = replace(old, corpus_digest="")
            if old.deleted or old.origin is Origin.UPSERT:
                await turn.finish(self._store.rewrite_head(self._collection, head))
                return False
            await turn.finish(self._remove(head))
        return True

    async def status(self) -> IndexStatus:
        """Sizes."""
        return IndexStatus(
            name=self.settings.name,
            snapshot=self.snapshot,
            documents=await self._store.count(self._collection, Kind.HEAD),
            passages=await self._store.count(self._collection, Kind.PASSAGE),
            embedding_model=self._embedder.name,
            dimension=self._embedder.dimension,
        )

    async def _split(self, document: Document) -> list[Chunk]:
        return await asyncio.get_running_loop().run_in_executor(self._splitting, self._splitter.split, document)

    def _record(self, head: Head, chunk: Chunk, dense: Sequence[float]) -> PassageRecord:
        return PassageRecord(
            document_id=head.document_id,
            revision=head.revision,
            digest=head.digest,
            n=chunk.n,
            title=chunk.title,
            text=chunk.text,
            n_tokens=chunk.n_tokens,
            tags=head.tags,
            tenant=head.tenant,
            dense=dense,
            terms=self._terms.of_passage(chunk.embedded),
        )

    async def _replace(self, head: Head, passages: Sequence[PassageRecord]) -> None:
        try:
            await self._store.stage(self._collection, passages)
            await self._store.publish(self._collection, head)
        except RetrievalUnavailable:
            self._tried[head.document_id] = head.revision
            raise
        self._tried.pop(head.document_id, None)

    async def _remove(self, old: Head) -> None:
        revision = max(old.revision, self._tried.get(old.document_id, 0)) + 1
        head = replace(old, revision=revision, deleted=True, passages=0)
        try:
            await self._store.retire(self._collection, head)
        except RetrievalUnavailable:
            self._tried[head.document_id] = head.revision
            raise
        self._tried.pop(head.document_id, None)

    async def _whole(self, head: Head) -> bool:
        """Exactly this head's passages are there, if need be after removing what a failed write has left behind."""
        count = await self._store.count_passages(self._collection, head.document_id)
        if count > head.passages:
            await self._store.clean(self._collection, head.document_id, keep=head)
            count = await self._store.count_passages(self._collection, head.document_id)
        return count == head.passages

    async def _sweep(self) -> None:
        heads = await self.heads()
        counts = await self._store.passage_counts(self._collection)
        stray = {
            id_
            for id_, revision, digest in counts
            if (head := heads.get(id_)) is None or head.deleted or (head.revision, head.digest) != (revision, digest)
        }
        for id_ in stray:
            head = heads.get(id_)
            await self._store.clean(self._collection, id_, keep=None if head is None or head.deleted else head)


def _corpus_digest(old: Head | None, origin: Origin, digest: str) -> str:
    """What the head is to remember of the corpus file: this content if it is the file's, else what it was."""
    if origin is Origin.CORPUS:
        return digest
    return old.corpus_digest if old is not None else ""


def _newest(found: Sequence[FoundPassage]) -> list[FoundPassage]:
    """Without the older revisions of documents that are being replaced."""
    newest: dict[str, tuple[int, str]] = {}
    for one in found:
        newest[one.document_id] = max(newest.get(one.document_id, (0, "")), (one.revision, one.digest))
    return [one for one in found if (one.revision, one.digest) == newest[one.document_id]]


def _passage(one: FoundPassage) -> Passage:
    return Passage(
        id=f"{one.document_id}@{one.revision}#{one.n}",
        document_id=one.document_id,
        title=one.title,
        text=one.text,
        score=one.score,
        revision=one.revision,
    )
