"""Taking over a corpus folder into the document log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from pathlib import PurePosixPath

from trivet.errors import DocumentRejected, FailedPrecondition, QuotaExceeded
from trivet.retrieval.corpus.corpus import read_file, taken_by
from trivet.retrieval.corpus.files import FoundDocument, RefusedPart
from trivet.retrieval.corpus.report import CorpusReportBuilder
from trivet.retrieval.corpus.walk import Walk
from trivet.retrieval.documents.documents import digest_of
from trivet.retrieval.documents.ids import id_of_file, printable
from trivet.retrieval.index.index import DocumentIndex
from trivet.stores.document_log import DocumentLog
from trivet.stores.log_entry import LogEntry
from trivet.stores.records import DocumentKey, Origin
from trivet.types.corpus import CorpusReport, SyncReport
from trivet.types.passage import BuildProgress, Document

_LOOKED_AT_ONCE = 1_000  # entries of folders, between two reports
_REPORTS = 1_000  # of files read, whatever their number
_NO_SOURCE = SyncReport()


class CorpusImport:
    """One build's. The folder is walked and read in a thread, some files at a time; no content is kept.

    A document belongs to the first file, or line of one, that has its id, in the order of the files' paths.
    """

    def __init__(
        self, index: DocumentIndex, log: DocumentLog, *, strict: bool, synced: SyncReport = _NO_SOURCE
    ) -> None:
        """`strict`: anything that would be skipped is an error, before anything is written. `synced`: what of its
        source could not be had; the folder has what it was before, or nothing if it is new."""
        self._index = index
        self._settings = index.settings
        self._log = log
        self._strict = strict
        self._report = CorpusReportBuilder()
        self._synced = synced
        self._missing = tuple(printable(name) for name in synced.first_missing)
        for where, problem in synced.failed:
            self._report.skip(printable(where), problem, kept=True)
        self._names: list[str] = []
        self._known: dict[DocumentKey, str] = {}  # digests of what came from files
        self._owners: dict[DocumentKey, str] = {}  # where each document of the corpus stands
        self._changed: dict[DocumentKey, None] = {}
        self._changed_files: dict[str, None] = {}
        self._reserved: set[DocumentKey] = set()  # of files that may not be opened
        self._unknown: list[str] = []  # files, and folders with a slash, of which it is not known what is in them

    async def run(self) -> AsyncGenerator[BuildProgress | CorpusReport]:
        """Progress, then the report.

        Raises FailedPrecondition without the folder, DocumentRejected if `strict`, RetrievalUnavailable.
        """
        self._known = await self._log.corpus_digests(self._settings.name)
        async for progress in self._scan():
            yield progress
        async for progress in self._read():
            yield progress
        if self._strict:
            async for progress in self._try():
                yield progress
            if self._report.skipped:
                raise self._report.error()
        async for progress in self._write():
            yield progress
        async for progress in self._forget():
            yield progress
        yield self._report.report()

    async def _scan(self) -> AsyncGenerator[BuildProgress]:
        walk = iter(Walk(self._settings.corpus, self._settings.selection, self._report, self._refuse))
        looked_at = 0
        while entries := await asyncio.to_thread(lambda: list(islice(walk, _LOOKED_AT_ONCE))):
            looked_at += len(entries)
            self._names += [name for name in entries if name is not None]
            yield self._progress("scan", looked_at, 0, printable(self._names[-1]) if self._names else "")
        self._report.files = len(self._names)

    async def _read(self) -> AsyncGenerator[BuildProgress]:
        """Find what has changed."""
        total = len(self._names)
        step = max(1, total // _REPORTS)
        for start in range(0, total, step):
            some = self._names[start : start + step]
            await asyncio.to_thread(self._look, some)
            yield self._progress("read", start + len(some), total, id_of_file(PurePosixPath(some[-1])))

    async def _try(self) -> AsyncGenerator[BuildProgress]:
        """Split what has changed for nothing."""
        done = 0
        async for found in self._all_changed():
            try:
                await self._index.live.check(found.document)
            except DocumentRejected as error:
                self._skip(found.where, str(error), _key(found.document))
            done += 1
            yield self._progress("split", done, len(self._changed), found.document.id)

    async def _write(self) -> AsyncGenerator[BuildProgress]:
        done = 0
        async for found in self._all_changed():
            try:
                await self._index.writer.upsert(found.document, Origin.CORPUS)
            except (DocumentRejected, QuotaExceeded) as error:
                self._skip(found.where, str(error), _key(found.document))
            done += 1
            yield self._progress("embed", done, len(self._changed), found.document.id)

    async def _forget(self) -> AsyncGenerator[BuildProgress]:
        """Drop the documents whose files have gone."""
        if self._synced.missing > len(self._missing):
            return  # nobody knows whose documents they are
        gone = await asyncio.to_thread(self._gone)
        for done, key in enumerate(gone, 1):
            if self._unknown or self._missing:
                entry = await self._log.newest(self._settings.name, key)
                if entry is not None and self._may_be_unread(entry):
                    continue
            await self._index.writer.forget_file(key)
            yield self._progress("write", done, len(gone), key.id)

    def _gone(self) -> list[DocumentKey]:
        return [key for key in self._known if key not in self._owners and key not in self._reserved]

    def _look(self, names: Sequence[str]) -> None:
        """Which documents of some files have changed. Blocking."""
        for name in names:
            for found in read_file(self._settings, name):
                if isinstance(found, RefusedPart):
                    self._refuse_part(found, printable(name))
                    continue
                key = _key(found.document)
                if (first := self._owners.setdefault(key, found.where)) != found.where:
                    self._report.skip(found.where, taken_by(key, first))
                    continue
                if len(self._owners) > self._settings.selection.max_files:
                    raise FailedPrecondition(
                        f"the corpus has more than {self._settings.selection.max_files:,} documents, which is "
                        "max_files in index.yaml"
                    )
                self._report.documents += 1
                if found.guessed:
                    self._report.guess(found.where, found.guessed)
                if self._known.get(key) != digest_of(found.document):
                    self._changed[key] = None
                    self._changed_files[name] = None

    async def _all_changed(self) -> AsyncGenerator[FoundDocument]:
        """The changed documents again, one at a time."""
        for name in self._changed_files:
            parts = read_file(self._settings, name)
            while (found := await asyncio.to_thread(next, parts, None)) is not None:
                if isinstance(found, FoundDocument):
                    key = _key(found.document)
                    if key in self._changed and self._owners[key] == found.where:
                        yield found
                elif found.where == printable(name):  # not the lines that were told already
                    self._refuse_part(found, printable(name))

    def _refuse(self, name: str, problem: str) -> None:
        """A file or folder that may not be opened."""
        path = PurePosixPath(name)
        if name.endswith("/") or path.suffix.lower() == ".jsonl":
            self._unknown.append(printable(name))
            self._report.skip(printable(name), problem)
            return
        key = DocumentKey("", id_of_file(path))
        self._reserved.add(key)
        self._skip(printable(name), problem, key)

    def _refuse_part(self, part: RefusedPart, file: str) -> None:
        if part.key is None:
            self._unknown.append(file)
            self._report.skip(part.where, part.problem)
        elif self._owners.setdefault(part.key, part.where) == part.where:
            self._skip(part.where, part.problem, part.key)
        else:
            self._report.skip(part.where, part.problem)

    def _skip(self, where: str, problem: str, key: DocumentKey) -> None:
        self._report.skip(where, problem, kept=key in self._known)

    def _may_be_unread(self, entry: LogEntry) -> bool:
        """Whether a document that no file has may stand in one that was not read."""
        for unknown in self._unknown:
            if entry.source == unknown or (unknown.endswith("/") and entry.source.startswith(unknown)):
                return True
        if any(entry.source == name or entry.source.startswith(f"{name}.") for name in self._missing):
            return True
        source = PurePosixPath(entry.source)
        of_own_file = not entry.tenant and id_of_file(source) == entry.document_id
        # One that names another source than its file came from a line of some file.
        return not of_own_file and source.suffix.lower() != ".jsonl"

    def _progress(self, stage: str, done: int, total: int, document_id: str) -> BuildProgress:
        return BuildProgress(stage, done, total, document_id, self._report.skipped)


def _key(document: Document) -> DocumentKey:
    return DocumentKey(document.tenant, document.id)
