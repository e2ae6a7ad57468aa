"""Writing documents: the log first, then the live snapshot, then the acknowledgement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from trivet.errors import DocumentDamaged, RetrievalUnavailable
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.retrieval.documents.documents import check_document, digest_of
from trivet.retrieval.documents.ids import check_id
from trivet.retrieval.index.live import LiveSnapshot
from trivet.retrieval.index.locks import DocumentLocks
from trivet.retrieval.settings import IndexSettings
from trivet.retrieval.snapshot.replay import Replay
from trivet.retrieval.snapshot.snapshot import PreparedDocument, Snapshot
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import LogEntry
from trivet.stores.records import DocumentKey, Origin
from trivet.stores.write_terms import Conflict, WriteConflict
from trivet.types.passage import Acknowledgement, Document

ResultT = TypeVar("ResultT")

_PATIENCE = 30.0  # seconds that a write waits for those of other gateways
_AGAIN_FIRST = 0.01
_AGAIN_MOST = 0.3


class Writer:
    """The writers of one index. Those of one document take turns, and so do tenants where the log is written.

    A document is split and embedded before it is logged, so that a bad one leaves nothing. Once it is logged it is
    durable; if applying it fails, or its writer is cancelled, it is finished later, by the next write of the document,
    by a repair, or at the next start.
    """

    def __init__(
        self,
        settings: IndexSettings,
        log: DocumentLog,
        live: LiveSnapshot,
        replay: Replay,
        locks: DocumentLocks,
        commits: FairSemaphore,
    ) -> None:
        self._settings = settings
        self._log = log
        self._live = live
        self._replay = replay
        self._locks = locks
        self._commits = commits
        self.logged = asyncio.Event()  # set with each new entry, for those who follow the log

    async def upsert(self, document: Document, origin: Origin = Origin.UPSERT) -> Acknowledgement:
        """Add or replace a document.

        Raises DocumentRejected, QuotaExceeded, RetrievalUnavailable, and Overloaded for an upsert.
        """
        digest = await asyncio.to_thread(self._checked, document)
        key = DocumentKey(document.tenant, document.id)
        await self._live.current()
        made: tuple[Snapshot, PreparedDocument] | None = None
        async with self._locks.hold(key) as held:

            async def write() -> Acknowledgement:
                nonlocal made
                newest = await self._log.newest(self._settings.name, key)
                if newest is not None and not newest.deleted and newest.digest == digest:
                    return await held.finish(self._confirm(newest, document, origin))
                await self._log.require_room(self._settings.name, document)
                snapshot = self._live.snapshot
                if made is None or made[0] is not snapshot:
                    made = snapshot, await snapshot.prepare(document, patient=origin is Origin.CORPUS, strict=True)
                return await held.finish(self._commit(document, digest, origin, newest, *made))

            return await self._undisturbed(write)

    def _checked(self, document: Document) -> str:
        """The digest of a document that can be taken; raises DocumentRejected. Blocking, as long as it is large."""
        check_document(document, self._settings.max_document_bytes, self._settings.fields)
        return digest_of(document)

    async def delete(self, key: DocumentKey) -> bool:
        """Delete a document; False if there was none. Raises DocumentRejected, RetrievalUnavailable."""
        check_id(key.id)
        await self._live.current()
        async with self._locks.hold(key) as held:

            async def write() -> bool:
                newest = await self._log.newest(self._settings.name, key)
                if newest is None:
                    return False
                if newest.deleted:
                    return await held.finish(self._confirm_deletion(newest))
                await held.finish(self._commit_deletion(newest, newest.corpus_digest))
                return True

            return await self._undisturbed(write)

    async def forget_file(self, key: DocumentKey) -> bool:
        """Its file has gone from the corpus: delete the document, unless an upsert has replaced it. True if deleted."""
        await self._live.current()
        async with self._locks.hold(key) as held:

            async def write() -> bool:
                newest = await self._log.newest(self._settings.name, key)
                if newest is None or not newest.corpus_digest:
                    return False
                if newest.deleted or newest.origin is Origin.UPSERT:
                    await held.finish(self._log.note_corpus(newest.seq, newest.origin, ""))
                    return False
                await held.finish(self._commit_deletion(newest, ""))
                return True

            return await self._undisturbed(write)

    async def _undisturbed(self, write: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """`write`, again as long as other gateways come in between; raises RetrievalUnavailable."""
        end, pause = time.monotonic() + _PATIENCE, _AGAIN_FIRST
        while True:
            try:
                return await write()
            except WriteConflict as conflict:
                if time.monotonic() > end:
                    raise RetrievalUnavailable(f"the document was not written: {conflict}", retry_after=1.0) from None
                if conflict.why is Conflict.LIVE:
                    await self._live.refresh()
                elif conflict.why is not Conflict.NEWER:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _AGAIN_MOST)

    async def _confirm(self, newest: LogEntry, document: Document, origin: Origin) -> Acknowledgement:
        """The log has this content already: make sure that the live snapshot does too."""
        corpus_digest = newest.digest if origin is Origin.CORPUS else newest.corpus_digest
        if (origin, corpus_digest) != (newest.origin, newest.corpus_digest):
            await self._log.note_corpus(newest.seq, origin, corpus_digest)
        if not await self._sound(newest, document):
            await self._log.mend_content(newest.seq, document.content)
        async with self._live.gate.shared():
            snapshot = self._live.snapshot
            async with self._live.tenure.claimed(snapshot, newest.key):
                await self._replay.bring(snapshot, newest.key)
                head = await snapshot.head(newest)
        if self._live.tenure.shared and head is not None and head.of.revision > newest.revision:
            raise WriteConflict(Conflict.NEWER)
        if head is None or head.of != newest.of:
            raise RetrievalUnavailable("the vector engine has lost a document; it is being made again")
        return Acknowledgement(newest.document_id, newest.revision, True, head.passages)

    async def _sound(self, newest: LogEntry, document: Document) -> bool:
        """The log has the document's content as it was acknowledged."""
        try:
            return await self._log.content(newest.seq) in (None, document.content)
        except DocumentDamaged:
            return False

    async def _confirm_deletion(self, newest: LogEntry) -> bool:
        """The log has the deletion already; False if the live snapshot had it, too."""
        async with self._live.gate.shared():
            snapshot = self._live.snapshot
            async with self._live.tenure.claimed(snapshot, newest.key):
                head = await snapshot.head(newest)
                if head is not None and head.of == newest.of:
                    return False
                await self._replay.bring(snapshot, newest.key)
        return True

    async def _commit(
        self,
        document: Document,
        digest: str,
        origin: Origin,
        newest: LogEntry | None,
        prepared_for: Snapshot,
        prepared: PreparedDocument,
    ) -> Acknowledgement:
        corpus_digest = newest.corpus_digest if newest is not None else ""
        if origin is Origin.CORPUS:
            corpus_digest = digest
        async with self._commits.slot(document.tenant), self._live.gate.shared():
            snapshot = self._live.snapshot
            if snapshot is not prepared_for:  # another one has become live meanwhile
                prepared = await snapshot.prepare(document)
            key = DocumentKey(document.tenant, document.id)
            begun = snapshot.progress.begin(key)
            try:
                terms = self._live.tenure.terms(snapshot, 0 if newest is None else newest.seq)
                entry = await self._log.append(self._settings.name, document, digest, origin, corpus_digest, terms)
            except BaseException:
                if begun:
                    snapshot.progress.abandon(key)
                raise
            self.logged.set()
            await snapshot.replace(entry, prepared)
            await self._live.tenure.coordination.applied(self._settings.name, key)
            snapshot.progress.done(key, entry.seq)
        return Acknowledgement(document.id, entry.revision, False, len(prepared.chunks))

    async def _commit_deletion(self, newest: LogEntry, corpus_digest: str) -> None:
        async with self._commits.slot(newest.key.tenant), self._live.gate.shared():
            snapshot = self._live.snapshot
            begun = snapshot.progress.begin(newest.key)
            try:
                entry = await self._log.append_deletion(
                    newest, corpus_digest, self._live.tenure.terms(snapshot, newest.seq)
                )
            except BaseException:
                if begun:
                    snapshot.progress.abandon(newest.key)
                raise
            self.logged.set()
            await snapshot.retire(entry)
            await self._live.tenure.coordination.applied(self._settings.name, newest.key)
            snapshot.progress.done(newest.key, entry.seq)
