"""The retrieval leg: implements the Retriever and the IndexAdministration port."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from trivet.errors import FailedPrecondition, InvalidRequest, NotFound, Overloaded, RetrievalUnavailable, TrivetError
from trivet.excerpt import quote
from trivet.retrieval.index.build import build
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.index.opener import IndexOpener
from trivet.retrieval.settings import IndexSettings
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.stores.coordination import PATIENCE
from trivet.stores.document_log import DOCUMENT_LOG_SCHEMA, add_fields
from trivet.stores.document_usage import count_usage
from trivet.stores.log_entry import LogEntry
from trivet.stores.records import DocumentKey
from trivet.stores.snapshot_catalogue import SNAPSHOT_CATALOGUE_SCHEMA
from trivet.stores.sqlite import Database
from trivet.types.corpus import CorpusReport
from trivet.types.passage import (
    MOST_TEXTS,
    Acknowledgement,
    BuildProgress,
    Document,
    DocumentSummary,
    IndexStatus,
    SearchExplanation,
    SearchQuery,
    SearchResult,
)

_log = logging.getLogger(__name__)

MAX_TOP_K = 100
MAX_TAGS = 24  # of a request and its variant; the engine takes four times as long for twice as many
MAX_TAG_CHARACTERS = 256
RETRY_AFTER = 1.0  # seconds
DOCUMENTS_VERSION = 3


def open_database(path: Path) -> Database:
    """The file of the document log and the snapshots' catalogue; raises FailedPrecondition for another version's."""
    schema = (*DOCUMENT_LOG_SCHEMA, *SNAPSHOT_CATALOGUE_SCHEMA)
    return Database.open(path, DOCUMENTS_VERSION, schema, {1: count_usage, 2: add_fields})


class IndexService:
    """All indexes. For one event loop."""

    def __init__(self, stores: IndexResources, indexes: Mapping[str, IndexSettings]) -> None:
        """`stores` are the caller's to close, after this."""
        self._stores = stores
        self._settings = dict(indexes)
        self._opened: dict[str, DocumentIndex] = {}
        self._building: set[str] = set()
        self._schedules: list[asyncio.Task[None]] = []

    async def start(self, *, replace_unusable: str = "") -> None:
        """Open all indexes; when this returns, everything that was ever acknowledged is found.

        Raises RetrievalUnavailable if the engine is down, and FailedPrecondition if a live snapshot was made with an
        embedding model that there is no more; for the index named `replace_unusable` a new snapshot is made then.
        """
        for name, settings in self._settings.items():
            opener = IndexOpener(settings, self._stores)
            index = self._opened[name] = await opener.open(replace_unusable=name == replace_unusable)
            await index.start()
            if settings.source is not None and settings.source.every:
                self._schedules.append(asyncio.create_task(self._sync_regularly(name, settings.source.every)))

    async def close(self) -> None:
        """Let writes finish whose callers have gone."""
        for schedule in self._schedules:
            schedule.cancel()
        await asyncio.gather(*self._schedules, return_exceptions=True)
        for index in self._opened.values():
            await index.close()

    @property
    def indexes(self) -> Mapping[str, DocumentIndex]:
        """By name."""
        return self._opened

    async def explain(self, query: SearchQuery) -> SearchExplanation:
        """How a search comes about; raises what the search raises, and InvalidRequest for an empty question.

        FailedPrecondition with `query.rerank`: that is told by who has the cross-encoders.
        """
        _check(query)
        if query.rerank:
            raise FailedPrecondition("cross-encoders are open in a running server alone, expected no --offline")
        if not query.asked.strip():
            raise InvalidRequest({"text": "is empty"})
        return await self._index(query.index).explain(query)

    async def documents(self, index: str) -> AsyncGenerator[Sequence[DocumentSummary]]:
        """Every document that is not deleted, some at a time; raises NotFound, RetrievalUnavailable."""
        opened = self._index(index)
        live = opened.live
        digests = await live.store.text_digests(live.collection)
        seq = 0
        while entries := await self._stores.log.after(opened.settings.name, seq):
            seq = entries[-1].seq
            yield [summary_of(entry, digests.get(entry.key, ())) for entry in entries if not entry.deleted]

    async def search(self, query: SearchQuery) -> SearchResult:
        """Hybrid search among shared documents and the tenant's own; waits for the tenant's turns.

        Raises NotFound for an unknown index, InvalidRequest, and RetrievalUnavailable when the engine is down or slow.
        """
        _check(query)
        index = self._index(query.index)
        if not query.asked.strip():
            return SearchResult((), index.snapshot)
        return await index.search(query)

    async def upsert(self, index: str, document: Document) -> Acknowledgement:
        """Add or replace a document: durable and found by the next search when this returns.

        Raises NotFound for an unknown index, DocumentRejected, Overloaded when too many documents wait, and
        RetrievalUnavailable: then it is not known whether it was written, and the same call again makes sure.
        Cancelled, it is written either whole or not at all.
        """
        found = self._index(index)
        self._make_room(document.tenant)
        async with self._stores.turns.writes.slot(document.tenant):
            return await found.writer.upsert(document)

    def max_document_bytes(self, index: str) -> int:
        """How large a document of the index may be; raises NotFound, RetrievalUnavailable."""
        return self._index(index).settings.max_document_bytes

    async def delete(self, index: str, ids: Sequence[str], tenant: str = "") -> list[str]:
        """Delete a tenant's documents, shared ones by default; returns the ids that existed.

        No search finds them when this returns.
        """
        writer = self._index(index).writer
        return [id_ for id_ in dict.fromkeys(ids) if await writer.delete(DocumentKey(tenant, id_))]

    async def status(self) -> list[IndexStatus]:
        """All configured indexes, by name."""
        return [await self._index(name).status() for name in sorted(self._settings)]

    def snapshots(self) -> dict[str, str]:
        """The live snapshot of each index that is open, by name."""
        return {name: index.snapshot for name, index in self._opened.items()}

    async def build(
        self, index: str, *, rebuild: bool = False, strict: bool = False
    ) -> AsyncGenerator[BuildProgress | CorpusReport]:
        """Bring the index up to its corpus folder and settings; what has not changed is not embedded again.

        Raises NotFound, FailedPrecondition if a build of it is running, there is no corpus or the new snapshot is no
        good, RetrievalUnavailable, and if `strict` DocumentRejected, before anything is written, if there is something
        that cannot be indexed. See `trivet.retrieval.index.build`.
        """
        found = self._index(index)
        if index in self._building:
            raise FailedPrecondition(f"index {index!r} is being built already")
        self._building.add(index)
        try:
            async with (
                self._stores.coordination.work(index, "a build", patience=PATIENCE),
                aclosing(build(found, self._stores.log, rebuild=rebuild, strict=strict)) as events,
            ):
                async for event in events:
                    yield event
        finally:
            self._building.discard(index)

    async def rollback(self, index: str, snapshot: str = "", reason: str = "") -> IndexStatus:
        """Let a retained snapshot serve, the one that was live last by default: its chunking, embedding model and
        settings, never older documents. `reason` goes to the server's log.

        Raises NotFound, FailedPrecondition if there is none or it cannot be used, RetrievalUnavailable.
        """
        found = self._index(index)
        await found.rollback(snapshot, reason)
        return await found.status()

    async def _sync_regularly(self, name: str, every: float) -> None:
        """Build an index from its source again and again; what fails is told and tried again the next time."""
        while True:
            await asyncio.sleep(every)
            try:
                async for event in self.build(name):
                    if isinstance(event, CorpusReport) and event.skipped:
                        _log.warning("index %s: %d files of its source were skipped", name, event.skipped)
            except TrivetError as error:
                _log.warning("index %s: its scheduled sync failed: %s", name, error)
            except Exception:
                _log.exception("index %s: its scheduled sync failed", name)

    def _make_room(self, tenant: str) -> None:
        """Let one more document wait, if need be at the cost of who has the most waiting; raises Overloaded."""
        writes, most = self._stores.turns.writes, self._stores.splitting.max_queued
        if writes.waiting < most:
            return
        error = Overloaded("documents", most, RETRY_AFTER)
        if not writes.give_way(tenant, error):
            raise error

    def _index(self, name: str) -> DocumentIndex:
        if name not in self._settings:
            raise NotFound(f"no index {quote(name)}")
        if name not in self._opened:
            raise RetrievalUnavailable(f"index {name!r} is being opened")
        return self._opened[name]


def _check(query: SearchQuery) -> None:
    """Raises InvalidRequest for what is out of bounds."""
    if not 1 <= query.top_k <= MAX_TOP_K:
        raise InvalidRequest({"top_k": f"expected 1 to {MAX_TOP_K}, got {query.top_k}"})
    if len(query.more) >= MOST_TEXTS:
        raise InvalidRequest({"more_texts": f"expected at most {MOST_TEXTS - 1} more texts, got {len(query.more)}"})
    if not all(text.strip() for text in query.more):
        raise InvalidRequest({"more_texts": "has an empty text, expected others that ask the same"})
    if len(query.tags) > MAX_TAGS or any(len(tag) > MAX_TAG_CHARACTERS for tag in query.tags):
        told = f"expected at most {MAX_TAGS} tags of at most {MAX_TAG_CHARACTERS} characters"
        raise InvalidRequest({"filter": f"{told}, got {len(query.tags)}"})


def summary_of(entry: LogEntry, digests: Sequence[str]) -> DocumentSummary:
    """What is told of a document; `digests` of its passages' texts."""
    content = hashlib.blake2b(" ".join(digests).encode(), digest_size=8).hexdigest() if digests else ""
    return DocumentSummary(
        entry.document_id,
        entry.tenant,
        entry.revision,
        entry.title,
        entry.source,
        entry.time,
        entry.valid_until,
        len(digests),
        content,
    )
