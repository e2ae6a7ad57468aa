"""A corpus folder as documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from trivet.retrieval.corpus.files import FileReader, FoundDocument, RefusedPart, documents_of_file
from trivet.retrieval.corpus.report import CorpusReportBuilder
from trivet.retrieval.corpus.walk import Walk
from trivet.retrieval.settings import IndexSettings
from trivet.stores.records import DocumentKey
from trivet.types.passage import Document


def read_file(settings: IndexSettings, name: str) -> Iterator[FoundDocument | RefusedPart]:
    """The documents in a corpus file; `name` is its path relative to the corpus. Blocking."""
    inside = None if settings.selection.follow_links else settings.corpus
    reader = FileReader(settings.max_document_bytes, settings.encoding, inside)
    return documents_of_file(settings.corpus / name, PurePosixPath(name), reader)


def documents_of_corpus(settings: IndexSettings) -> Iterator[Document]:
    """All documents of an index's corpus. Blocking.

    Raises DocumentRejected, after the last one, if there is anything that a build would skip, and FailedPrecondition
    if there is no such folder.
    """
    report = CorpusReportBuilder()
    owners: dict[DocumentKey, str] = {}
    for name in Walk(settings.corpus, settings.selection, report, report.skip):
        for found in read_file(settings, name) if name is not None else ():
            if isinstance(found, RefusedPart):
                report.skip(found.where, found.problem)
                continue
            key = DocumentKey(found.document.tenant, found.document.id)
            if (first := owners.setdefault(key, found.where)) != found.where:
                report.skip(found.where, taken_by(key, first))
                continue
            yield found.document
    if report.skipped:
        raise report.error()


def taken_by(key: DocumentKey, first: str) -> str:
    """The reason to skip a file or a line."""
    return f"document {key.id!r} is {first} already"
