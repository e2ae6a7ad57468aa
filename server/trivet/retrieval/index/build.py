"""Bringing an index up to its corpus folder and to its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from trivet.errors import DocumentRejected
from trivet.retrieval.documents.corpus import read_documents, rejected, scan
from trivet.retrieval.documents.documents import check_document, digest_of
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.settings import IndexSettings
from trivet.stores.document_log import DocumentLog
from trivet.stores.records import DocumentKey, Origin
from trivet.types.passage import BuildProgress, Document


async def build(index: DocumentIndex, log: DocumentLog, *, rebuild: bool = False) -> AsyncGenerator[BuildProgress]:
    """Take over the files that changed since the last build and drop the documents whose files have gone; then make a
    new snapshot, if the settings for chunking or embedding have changed, too much was written to the live one, or
    `rebuild` says so.

    All files are read, and what changed is split, before anything is written: a corpus with bad files changes nothing,
    and the error names them all. Progress: "read" per file, "embed" per changed document, "write" per document whose
    file has gone, and per document of a new snapshot, then "optimise", "check" and "swap". Stopping in between leaves
    whole documents and the live snapshot; the next build goes on from there.
    """
    settings = index.settings
    files, problems = await asyncio.to_thread(scan, settings.corpus)
    known = {entry.key: entry for entry in await log.all_newest(settings.name)}
    owners: dict[DocumentKey, Path] = {}
    changed: set[DocumentKey] = set()
    for done, (name, path) in enumerate(files.items(), 1):
        try:
            for document, digest in await asyncio.to_thread(_checked, settings, path):
                key = DocumentKey(document.tenant, document.id)
                if (first := owners.setdefault(key, path)) != path:
                    problems.append(f"two files have document {key.id!r}: {first.name} and {path.name}")
                elif key not in known or known[key].corpus_digest != digest:
                    changed.add(key)
                    await index.live.check(document)
        except DocumentRejected as error:
            problems.append(str(error))
        yield BuildProgress("read", done, len(files), name)
    if problems:
        raise rejected(problems)
    done = 0
    for path in dict.fromkeys(owners[key] for key in owners if key in changed):
        for document, _ in await asyncio.to_thread(_checked, settings, path):
            if DocumentKey(document.tenant, document.id) in changed:
                await index.writer.upsert(document, Origin.CORPUS)
                done += 1
                yield BuildProgress("embed", done, len(changed), document.id)
    gone = [key for key, entry in known.items() if entry.corpus_digest and key not in owners]
    for done, key in enumerate(gone, 1):
        await index.writer.forget_file(key)
        yield BuildProgress("write", done, len(gone), key.id)
    if rebuild or index.build_due:
        async for progress in index.renew():
            yield progress


def _checked(settings: IndexSettings, path: Path) -> list[tuple[Document, str]]:
    """The documents in a file, with their digests; raises DocumentRejected for what can be told without splitting."""
    found = []
    for document in read_documents(settings.corpus, path):
        check_document(document, settings.max_document_bytes)
        found.append((document, digest_of(document)))
    return found
