"""An index's corpus folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents import check_id, format_of_file, id_of_file
from trivet.retrieval.files import documents_of_file
from trivet.types.passage import Document


def corpus_files(corpus: Path) -> dict[str, Path]:
    """Every file of the folder by its document's id, sorted; hidden files and folders are none of it.

    Raises FailedPrecondition if there is no such folder, DocumentRejected if a file's name cannot be an id, its ending
    is not known, or two files have the same id.
    """
    if not corpus.is_dir():
        raise FailedPrecondition(f"there is no corpus folder {corpus.parent.name}/{corpus.name}")
    files: dict[str, Path] = {}
    for path in sorted(corpus.rglob("*")):
        relative = path.relative_to(corpus)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        format_of_file(relative)
        document_id = id_of_file(relative)
        check_id(document_id)
        if document_id in files:
            first = files[document_id].relative_to(corpus)
            raise DocumentRejected(f"two files are document {document_id!r}: {first} and {relative}")
        files[document_id] = path
    return files


def read_documents(corpus: Path, path: Path) -> Iterator[Document]:
    """The documents in a corpus file, mostly one; raises DocumentRejected if it cannot be read."""
    return documents_of_file(path, path.relative_to(corpus))
