"""Comparing collections with the document log, and writing again what they have lost."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import LogEntry
from trivet.stores.records import DocumentHead, DocumentKey, PointKind

_log = logging.getLogger(__name__)

_AT_ONCE = 256  # heads compared in one call

Bring = Callable[[Snapshot, DocumentKey], Awaitable[bool]]  # whether something had to be written


class ForeignCollection(Exception):
    """The collection knows what the log does not: one of the two was put back without the other."""


class Reconciler:
    """Compares collections of one index with its log."""

    def __init__(self, index: str, log: DocumentLog) -> None:
        self._index = index
        self._log = log
        self.repaired = 0  # documents written again because the collection had lost them

    async def missing_documents(self, snapshot: Snapshot) -> int:
        """How many heads fewer there are than the log has documents, but for those that are being written, at least.

        Two counts: what this does not see, `reconcile` does.
        """
        expected = await self._log.behind(self._index, 0) - await self._log.behind(
            self._index, snapshot.progress.position
        )
        return max(0, expected - len(snapshot.progress.open) - await self._heads(snapshot))

    def restored(self, documents: int) -> None:
        """So many that the collection had lost were written again by who applied the log."""
        self.repaired += documents

    async def reconcile(self, snapshot: Snapshot, bring: Bring) -> None:
        """Let `bring` write every document again whose head or passages are not there or not as the log says.

        Others may write meanwhile: `bring` takes its turn with a document and looks again. One call per 256 documents;
        passages are looked at one by one only if their number is not what the heads say. Says in the log what was
        missing. Raises RetrievalUnavailable.
        """
        position, lost, passages = snapshot.progress.position, 0, 0
        async for entry, head in self._pairs(snapshot):
            if head is None or head.of != entry.of:
                lost += await bring(snapshot, entry.key) and entry.seq <= position
                head = await snapshot.head(entry)
            passages += head.passages if head is not None else 0
        repaired = await self._reconcile_passages(snapshot, passages, bring)
        self.repaired += lost + repaired
        if lost or repaired:
            _log.warning(
                "snapshot %s had lost documents: %d were not there or older than in the log, %d lacked passages; "
                "they were written again from the log",
                snapshot.collection,
                lost,
                repaired,
            )

    async def refuse_foreign(self, snapshot: Snapshot) -> None:
        """Raise ForeignCollection if it has documents, or revisions of them, that are not in the log.

        Another gateway may write meanwhile: what looks foreign is looked up again, for it is logged before it is
        written.
        """
        documents = 0
        async for entry, head in self._pairs(snapshot):
            if head is None:
                continue
            documents += 1
            if _foreign(head, entry) and _foreign(head, await self._log.newest(self._index, entry.key)):
                raise ForeignCollection(f"it has revision {head.of.revision} of document {head.of.key.id!r}")
        if await self._heads(snapshot) > documents:
            heads = await snapshot.store.heads(snapshot.collection)
            unknown = [key for key in heads if await self._log.newest(self._index, key) is None]
            if unknown:
                raise ForeignCollection(f"it has {len(unknown)} documents")

    async def _reconcile_passages(self, snapshot: Snapshot, expected: int, bring: Bring) -> int:
        """How many documents lacked passages; those that a cut-short write has left over are removed, too."""
        staged = await snapshot.store.count(snapshot.collection, PointKind.STAGED)
        published = await snapshot.store.count(snapshot.collection, PointKind.PASSAGE)
        if staged == 0 and published == expected:
            return 0
        counts = await snapshot.store.passage_counts(snapshot.collection)
        of_document: Counter[DocumentKey] = Counter()
        for of, passages in counts.items():
            of_document[of.key] += passages
        unknown = set(of_document)
        repaired = 0
        async for entry, head in self._pairs(snapshot):
            unknown.discard(entry.key)
            whole = head is not None and counts[head.of] == of_document[entry.key] == head.passages
            if not whole:
                repaired += await bring(snapshot, entry.key)
        for key in unknown:
            await snapshot.store.clean(snapshot.collection, key, None)
        return repaired

    async def _pairs(self, snapshot: Snapshot) -> AsyncIterator[tuple[LogEntry, DocumentHead | None]]:
        """Every document's newest entry, and what the collection has of it."""
        position = 0
        while entries := await self._log.after(self._index, position, _AT_ONCE):
            heads = await snapshot.store.heads_of(snapshot.collection, [entry.key for entry in entries])
            for entry in entries:
                yield entry, heads.get(entry.key)
            position = entries[-1].seq

    async def _heads(self, snapshot: Snapshot) -> int:
        counts = [await snapshot.store.count(snapshot.collection, kind) for kind in (PointKind.HEAD, PointKind.GONE)]
        return sum(counts)


def _foreign(head: DocumentHead, entry: LogEntry | None) -> bool:
    """The head is of a content that the log, as it is now, never had."""
    if entry is None or head.of.revision > entry.revision:
        return True
    return head.of.revision == entry.revision and head.of != entry.of
