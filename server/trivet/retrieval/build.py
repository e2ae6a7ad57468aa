"""Bringing an index up to its corpus folder and to its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from trivet.errors import DocumentRejected
from trivet.retrieval.corpus import corpus_files, read_documents
from trivet.retrieval.documents import check_document, digest_of
from trivet.retrieval.index import DocumentIndex
from trivet.stores.document_log import DocumentLog
from trivet.stores.records import DocumentKey, Origin
from trivet.types.passage import BuildProgress, Document


async def build(index: DocumentIndex, log: DocumentLog, *, rebuild: bool = False) -> AsyncGenerator[BuildProgress]:
    """Take over the files that changed since the last build and drop the documents whose files have gone; then make a
    new snapshot, if the settings for chunking or embedding have changed, too much was written to the live one, or
    `rebuild` says so.

    Everything is read and checked before anything is written, so that a corpus with a bad file changes nothing.
    Progress: "read" per file, "embed" per changed document (found from then on), "write" per document whose file has
    gone, and per document of a new snapshot, then "optimise", "check" and "swap". Stopping in between leaves whole
    documents and the live snapshot; the next build goes on from there.
    """
    settings = index.settings
    files = await asyncio.to_thread(corpus_files, settings.corpus)
    digests: dict[DocumentKey, str] = {}
    owners: dict[DocumentKey, Path] = {}
    for done, (name, path) in enumerate(files.items(), 1):
        for key, digest in (
            await asyncio.to_thread(_digests, settings.corpus, path, settings.max_document_bytes)
        ).items():
            if key in digests:
                raise DocumentRejected(f"two files have document {key.id!r}: {owners[key].name} and {path.name}")
            digests[key], owners[key] = digest, path
        yield BuildProgress("read", done, len(files), name)
    known = {entry.key: entry for entry in await log.all_newest(settings.name)}
    changed = {key for key in digests if key not in known or known[key].corpus_digest != digests[key]}
    done = 0
    for path in dict.fromkeys(owners[key] for key in digests if key in changed):
        for document in await asyncio.to_thread(_documents, settings.corpus, path):
            if DocumentKey(document.tenant, document.id) in changed:
                await index.writer.upsert(document, Origin.CORPUS)
                done += 1
                yield BuildProgress("embed", done, len(changed), document.id)
    gone = [key for key, entry in known.items() if entry.corpus_digest and key not in digests]
    for done, key in enumerate(gone, 1):
        await index.writer.forget_file(key)
        yield BuildProgress("write", done, len(gone), key.id)
    if rebuild or index.build_due:
        async for progress in index.renew():
            yield progress


def _documents(corpus: Path, path: Path) -> list[Document]:
    return list(read_documents(corpus, path))


def _digests(corpus: Path, path: Path, max_bytes: int) -> dict[DocumentKey, str]:
    """What the file holds, checked."""
    found = {}
    for document in read_documents(corpus, path):
        check_document(document, max_bytes)
        found[DocumentKey(document.tenant, document.id)] = digest_of(document)
    return found
