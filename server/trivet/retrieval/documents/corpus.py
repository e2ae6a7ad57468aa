"""An index's corpus folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents.documents import check_id, format_of_file, id_of_file
from trivet.retrieval.documents.files import documents_of_file
from trivet.types.passage import Document

_NAMED = 20  # problems in one message, which has to fit into a status


def corpus_files(corpus: Path) -> dict[str, Path]:
    """Every file of the folder by its document's id; raises DocumentRejected for what `scan` calls a problem."""
    files, problems = scan(corpus)
    if problems:
        raise rejected(problems)
    return files


def scan(corpus: Path) -> tuple[dict[str, Path], list[str]]:
    """Every file of the folder by its document's id, sorted, and what is wrong with the names of the others: one that
    cannot be an id, an ending that is not known, an id that another file has. Hidden files and folders are none of it.

    Raises FailedPrecondition if there is no such folder.
    """
    if not corpus.is_dir():
        raise FailedPrecondition(f"there is no corpus folder {corpus.parent.name}/{corpus.name}")
    files: dict[str, Path] = {}
    problems = []
    for path in sorted(corpus.rglob("*")):
        relative = path.relative_to(corpus)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        document_id = id_of_file(relative)
        try:
            format_of_file(relative)
            check_id(document_id)
        except DocumentRejected as error:
            problems.append(str(error))
            continue
        if (first := files.setdefault(document_id, path)) != path:
            problems.append(f"two files are document {document_id!r}: {first.relative_to(corpus)} and {relative}")
    return files, problems


def read_documents(corpus: Path, path: Path) -> Iterator[Document]:
    """The documents in a corpus file, mostly one; raises DocumentRejected if it cannot be read."""
    return documents_of_file(path, path.relative_to(corpus))


def rejected(problems: Sequence[str]) -> DocumentRejected:
    """All problems of a corpus in one error, the first ones by name."""
    if len(problems) == 1:
        return DocumentRejected(problems[0])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    return DocumentRejected(f"{len(problems)} problems in the corpus: {'; '.join(problems[:_NAMED])}{more}")
