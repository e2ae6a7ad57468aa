"""Applying the document log to a snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from trivet.errors import DocumentDamaged
from trivet.retrieval.documents.documents import digest_of
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import LogEntry, damaged
from trivet.stores.records import DocumentKey

_AT_ONCE = 256  # heads compared in one call


class Replay:
    """Brings snapshots of one index up to the log. What is there already costs one comparison of heads per 256."""

    def __init__(self, index: str, log: DocumentLog) -> None:
        self._index = index
        self._log = log

    async def missing(self, snapshot: Snapshot, until: int | None = None) -> AsyncIterator[Sequence[LogEntry]]:
        """The entries beyond the snapshot's position that its heads do not show, in order, some at a time.

        Those up to the seq `until`; otherwise until there are no more, which need not come while others write.
        The position moves on over what is there; what is yielded is the caller's to apply before it goes on.
        """
        position = snapshot.progress.position
        while (until is None or position < until) and (
            entries := await self._log.after(self._index, position, _AT_ONCE)
        ):
            heads = await snapshot.store.heads_of(snapshot.collection, [entry.key for entry in entries])
            absent = []
            for entry in entries:
                head = heads.get(entry.key)
                if head is not None and head.of == entry.of and not snapshot.progress.is_open(entry.key):
                    continue
                absent.append(entry)
            if absent:
                yield absent
            position = entries[-1].seq
            snapshot.progress.reached(position)

    async def bring(self, snapshot: Snapshot, key: DocumentKey) -> bool:
        """Make a document in the snapshot what the log's newest entry says, whole; whether it had to be written.

        Nobody else writes the document to the snapshot meanwhile. Raises DocumentRejected if it cannot be split in the
        snapshot's way, DocumentDamaged if its content is not what was acknowledged.
        """
        written = False
        while (entry := await self._log.newest(self._index, key)) is not None:
            head = await snapshot.head(entry)
            counts = head is not None and head.of == entry.of
            if head is not None and counts and await snapshot.is_whole(head):
                break
            if entry.deleted:
                await snapshot.retire(entry)
                written = True
                break
            content = await self._log.content(entry.seq)
            if content is not None:
                document = entry.document(content)
                if digest_of(document) != entry.digest:
                    raise DocumentDamaged(damaged(entry, "it has another digest than when it was acknowledged"))
                prepared = await snapshot.prepare(document)
                await (snapshot.restore if counts else snapshot.replace)(entry, prepared)
                written = True
                break
            # A newer entry has come meanwhile: that one, then.
        if entry is not None:
            snapshot.progress.done(key, entry.seq)
        return written
