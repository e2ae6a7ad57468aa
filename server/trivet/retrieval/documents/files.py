"""Files as documents: most are one, a `.jsonl` file whose lines have an `id` is many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from trivet.errors import DocumentRejected
from trivet.retrieval.documents.documents import check_id, format_of_file, id_of_file
from trivet.retrieval.documents.json_lines import parse_object
from trivet.types.passage import Document, DocumentFormat

_BODIES = ({"text"}, {"content"}, {"question", "answer"})
_FIELDS = {"id", "title", "format", "tags", "tenant", "valid_from", "valid_until", "source"}.union(*_BODIES)
_FORMATS = {format_.value: format_ for format_ in DocumentFormat if format_ is not DocumentFormat.PDF}


def documents_of_file(path: Path, name: PurePath, format_: DocumentFormat | None = None) -> Iterator[Document]:
    """The documents in a file; `name` is what it is called: relative to the corpus, or as given on the command line.
    Its format is told by its ending unless it is given.

    A line of a `.jsonl` file is `{"id": ..., "text" or "content": ...}`, or `{"id", "question", "answer"}` for an
    example; it may have `title`, `format` ("text" if absent), `tags`, `tenant`, `valid_from` and `valid_until`
    (RFC 3339) and `source`. Without any `id`, the file is one document of passages.

    Raises DocumentRejected, which names the file and, of a `.jsonl` file, the line.
    """
    format_ = format_ or format_of_file(name)
    try:
        if format_ is DocumentFormat.JSON_LINES and _names_documents(path, name):
            yield from _documents_of_lines(path, name)
        else:
            yield Document(id_of_file(name), path.read_bytes(), format_, source=name.as_posix())
    except OSError as error:
        raise DocumentRejected(f"{name} cannot be read: {error.strerror}") from error


def parse_time(text: str) -> float:
    """RFC 3339 to seconds since 1970; ValueError without a time zone, which would mean another time elsewhere."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"{text[:40]!r}, expected a time like 2026-01-31T00:00:00Z")
    return time.timestamp()


def _names_documents(path: Path, name: PurePath) -> bool:
    """Whether the first line has an `id`."""
    for _, value in _lines(path, name):
        return "id" in value
    return False


def _lines(path: Path, name: PurePath) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line that is not blank: `file:line` and its object."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            where = f"{name}:{number}"
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    yield where, parse_object(text)
            except ValueError as error:  # UnicodeDecodeError is one
                raise DocumentRejected(f"{where}: {error}") from None


def _documents_of_lines(path: Path, name: PurePath) -> Iterator[Document]:
    seen: dict[tuple[str, str], str] = {}
    for where, value in _lines(path, name):
        try:
            document = _document(value, name)
            check_id(document.id)
        except (ValueError, DocumentRejected) as error:
            raise DocumentRejected(f"{where}: {error}") from None
        first = seen.setdefault((document.tenant, document.id), where)
        if first != where:
            raise DocumentRejected(f"{where}: document {document.id!r} stands at {first} already")
        yield document


def _document(value: dict[str, Any], name: PurePath) -> Document:
    """Raises ValueError."""
    if unknown := sorted(value.keys() - _FIELDS):
        raise ValueError(f"unknown field {unknown[0][:40]!r}, expected one of {', '.join(sorted(_FIELDS))}")
    tags = value.get("tags", [])
    if not (isinstance(tags, list) and all(isinstance(tag, str) and tag for tag in tags)):
        raise ValueError("'tags' is no list of strings")
    for field, part in value.items():
        if field != "tags" and not isinstance(part, str):
            raise ValueError(f"{field!r} is not a string")
    if "id" not in value:
        raise ValueError("no 'id', which earlier lines have")
    content, format_ = _body(value)
    return Document(
        id=value["id"],
        content=content,
        format=format_,
        title=value.get("title", ""),
        source=value.get("source", name.as_posix()),
        tags=tuple(tags),
        tenant=value.get("tenant", ""),
        valid_from=_time(value, "valid_from"),
        valid_until=_time(value, "valid_until"),
    )


def _body(value: dict[str, Any]) -> tuple[bytes, DocumentFormat]:
    bodies = [names for names in _BODIES if names & value.keys()]
    if len(bodies) != 1 or not bodies[0] <= value.keys():
        raise ValueError("expected exactly one of text, content, or question and answer")
    if "question" in value:
        if "format" in value:
            raise ValueError("'format' of an example, expected none")
        example = {"question": value["question"], "answer": value["answer"]}
        return json.dumps(example).encode(), DocumentFormat.JSON_LINES
    format_ = value.get("format", "text")
    if format_ not in _FORMATS:
        raise ValueError(f"format {format_[:40]!r}, expected one of {', '.join(_FORMATS)}")
    (field,) = bodies[0]
    return value[field].encode("utf-8", "surrogatepass"), _FORMATS[format_]


def _time(value: dict[str, Any], field: str) -> float | None:
    if field not in value:
        return None
    try:
        return parse_time(value[field])
    except ValueError as error:
        raise ValueError(f"{field} is {error}") from None
