"""Bringing an index up to its corpus folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from trivet.retrieval.corpus import corpus_files, read_document
from trivet.retrieval.documents import digest_of, text_of
from trivet.retrieval.index import DocumentIndex
from trivet.stores.records import Origin
from trivet.types.passage import BuildProgress


async def build(index: DocumentIndex) -> AsyncIterator[BuildProgress]:
    """Take over the files that changed since the last build and drop the documents whose files have gone.

    Everything is read and checked before anything is written, so that a corpus with a bad file changes nothing.
    Progress: "read" per file, "embed" per changed document (found from then on), "write" per document whose file has
    gone. Stopping in between leaves whole documents; the next build goes on from there.
    """
    corpus = index.settings.corpus
    files = await asyncio.to_thread(corpus_files, corpus)
    digests: dict[str, str] = {}
    for done, (id_, path) in enumerate(files.items(), 1):
        digests[id_] = await asyncio.to_thread(_checked_digest, index, id_, path)
        yield BuildProgress("read", done, len(files), id_)
    heads = await index.heads()
    changed = [id_ for id_ in files if id_ not in heads or heads[id_].corpus_digest != digests[id_]]
    for done, id_ in enumerate(changed, 1):
        document = await asyncio.to_thread(read_document, corpus, id_, files[id_])
        await index.upsert(document, Origin.CORPUS)
        yield BuildProgress("embed", done, len(changed), id_)
    gone = [id_ for id_, head in heads.items() if head.corpus_digest and id_ not in files]
    for done, id_ in enumerate(gone, 1):
        await index.forget_file(id_)
        yield BuildProgress("write", done, len(gone), id_)


def _checked_digest(index: DocumentIndex, document_id: str, path: Path) -> str:
    document = read_document(index.settings.corpus, document_id, path)
    text_of(document, index.settings.max_document_bytes)
    return digest_of(document)
