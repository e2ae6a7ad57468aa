"""Bringing an index up to its corpus folder and to its settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from trivet.retrieval.index.corpus_import import CorpusImport
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.sources.sync import sync
from trivet.stores.document_log import DocumentLog
from trivet.types.corpus import CorpusReport, SyncReport
from trivet.types.passage import BuildProgress


async def build(
    index: DocumentIndex, log: DocumentLog, *, rebuild: bool = False, strict: bool = False
) -> AsyncGenerator[BuildProgress | CorpusReport]:
    """Mirror the index's source, if it has one, and take over the files that changed since the last build and drop
    the documents whose files have gone; then make a
    new snapshot, if the settings for chunking or embedding have changed, too much was written to the live one, or
    `rebuild` says so.

    What cannot be taken is skipped and stands in the report; what an earlier build took of it stays. With `strict` all
    files are read, and what changed is split, before anything is written, and what would be skipped is an error.
    Progress: "fetch" while the source is mirrored, "scan" while the folder is walked, "read" per file, "split" (if
    strict) and "embed" per changed document,
    "write" per document whose file has gone; then the report; then "write" per document of a new snapshot, "optimise",
    "check" and "swap". Stopping in between leaves whole documents and the live snapshot; the next build goes on from
    there.
    """
    synced = SyncReport()
    async for told in sync(index.settings):
        if isinstance(told, SyncReport):
            synced = told
        else:
            yield told
    async for event in CorpusImport(index, log, strict=strict, synced=synced).run():
        yield event
    if rebuild or index.build_due:
        async for progress in index.renew():
            yield progress
