"""Files as documents: most are one, a `.jsonl` file whose lines have an `id` is many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from trivet.errors import DocumentRejected
from trivet.excerpt import quote_masked
from trivet.retrieval.corpus.encodings import as_utf8
from trivet.retrieval.corpus.safe_open import opened, read_at_most, size_of
from trivet.retrieval.documents.documents import check_document, check_tenant, format_of_file, too_large
from trivet.retrieval.documents.ids import check_id, id_of_file, printable
from trivet.retrieval.passages.json_lines import parse_object
from trivet.stores.records import DocumentKey
from trivet.types.passage import Document, DocumentFormat

LARGEST_DOCUMENT = 256 << 20  # bytes, whatever an index allows
_BODIES = ({"text"}, {"content"}, {"question", "answer"})
_FIELDS = {"id", "title", "format", "tags", "tenant", "valid_from", "valid_until", "source", "fields"}.union(*_BODIES)
_FORMATS = {format_.value: format_ for format_ in DocumentFormat if format_.is_text}
_EXACTLY_UTF8 = (DocumentFormat.JSON_LINES, DocumentFormat.NOTEBOOK)  # by what their formats say
_ESCAPED = 6  # characters of JSON that one byte of text may take: \\u0041
_ABOUT = 64 << 10  # and what a line says besides, in bytes


@dataclass(frozen=True, slots=True)
class FileReader:
    """How files are read. `max_bytes`: of one document. `encoding`: of text that is not UTF-8; None to guess it.
    `inside`: the folder that they must lie in, wherever links lead; None if they may lie anywhere."""

    max_bytes: int = LARGEST_DOCUMENT
    encoding: str | None = None
    inside: Path | None = None


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document in a file. `where`: the file's path, and the line where it is many documents.

    `guessed`: the encoding that the file was taken to be in, empty if it says so itself.
    """

    where: str
    document: Document
    guessed: str = ""


@dataclass(frozen=True, slots=True)
class RefusedPart:
    """A file or a line that is no document, and why. `key`: of the document that it would be, None if not known."""

    where: str
    problem: str
    key: DocumentKey | None = None


def documents_of_file(
    path: Path, name: PurePath, reader: FileReader = FileReader(), format_: DocumentFormat | None = None
) -> Iterator[FoundDocument | RefusedPart]:
    """The documents in a file; `name` is what it is called: relative to the corpus, or as given on the command line.
    Its format is told by its ending unless it is given.

    A line of a `.jsonl` file is `{"id": ..., "text" or "content": ...}`, or `{"id", "question", "answer"}` for an
    example; it may have `title`, `format` ("text" if absent), `tags`, `fields`, `tenant`, `valid_from` and
    `valid_until` (RFC 3339) and `source`. Without any `id`, the file is one document of passages. What is wrong with
    one line, or with the file, is a refused part of it; never raises DocumentRejected. Blocking; holds one document at
    a time.
    """
    where = printable(name.as_posix())
    key = None
    try:
        format_ = format_ or format_of_file(name)
        lines = format_ is DocumentFormat.JSON_LINES
        if not lines:
            key = DocumentKey("", id_of_file(name))
        with opened(path, reader.inside) as file:
            if many := lines and _names_documents(file, where, reader.max_bytes):
                yield from _documents_of_lines(file, where, reader.max_bytes)
            else:
                key = DocumentKey("", id_of_file(name))
                found = _whole(file, where, key.id, format_, reader)
        if not many:
            check_document(found.document, reader.max_bytes)
            yield found
    except DocumentRejected as error:
        yield RefusedPart(where, str(error), key)


def parse_time(text: str) -> float:
    """RFC 3339 to seconds since 1970; ValueError without a time zone, which would mean another time elsewhere."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise ValueError(f"{text[:40]!r}, expected a time like 2026-01-31T00:00:00Z")
    return time.timestamp()


def _whole(file: BinaryIO, where: str, document_id: str, format_: DocumentFormat, reader: FileReader) -> FoundDocument:
    """The file as one document; raises DocumentRejected."""
    size = size_of(file)
    content = None if size > reader.max_bytes else read_at_most(file, reader.max_bytes)
    if content is None:
        raise DocumentRejected(too_large(document_id, max(size, reader.max_bytes + 1), reader.max_bytes))
    guessed = ""
    if format_.is_text and format_ not in _EXACTLY_UTF8:
        decoded = as_utf8(content, html=format_ is DocumentFormat.HTML, otherwise=reader.encoding)
        content, guessed = decoded.utf8, decoded.guessed
    return FoundDocument(where, Document(document_id, content, format_, source=where), guessed)


def _names_documents(file: BinaryIO, where: str, max_bytes: int) -> bool:
    """Whether the first line that can be read has an `id`. Leaves the file at its beginning."""
    first = next((value for _, value in _lines(file, where, max_bytes) if isinstance(value, dict)), {})
    file.seek(0)
    return "id" in first


def _lines(file: BinaryIO, where: str, max_bytes: int) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Each line that is not blank: `file:line`, and its object or what is wrong with it."""
    longest = _ESCAPED * max_bytes + _ABOUT
    left, number = size_of(file), 0  # what is written meanwhile is not waited for
    while left > 0 and (raw := file.readline(longest + 1)):
        left -= len(raw)
        number += 1
        if len(raw) > longest:
            yield f"{where}:{number}", f"a line of more than {longest} bytes"
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(longest + 1)
                left -= len(raw)
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if text:
                yield f"{where}:{number}", parse_object(text)
        except ValueError as error:  # UnicodeDecodeError is one
            yield f"{where}:{number}", str(error)


def _documents_of_lines(file: BinaryIO, where: str, max_bytes: int) -> Iterator[FoundDocument | RefusedPart]:
    for line, value in _lines(file, where, max_bytes):
        if isinstance(value, str):
            yield RefusedPart(line, value)
            continue
        try:
            document = _document(value, where)
            check_document(document, max_bytes)
        except (ValueError, DocumentRejected) as error:
            yield RefusedPart(line, str(error), _key(value))
        else:
            yield FoundDocument(line, document)


def _key(value: dict[str, Any]) -> DocumentKey | None:
    """Of the document that a bad line would be; None if that is what is wrong with it."""
    document_id, tenant = value.get("id"), value.get("tenant", "")
    if not isinstance(document_id, str) or not isinstance(tenant, str):
        return None
    try:
        check_id(document_id)
        check_tenant(tenant)
    except (ValueError, DocumentRejected):
        return None
    return DocumentKey(tenant, document_id)


def _document(value: dict[str, Any], where: str) -> Document:
    """Raises ValueError."""
    if unknown := sorted(value.keys() - _FIELDS):
        raise ValueError(f"unknown field {quote_masked(unknown[0])}, expected one of {', '.join(sorted(_FIELDS))}")
    tags = value.get("tags", [])
    if not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        raise ValueError("'tags' is not a list of strings")
    for field, part in value.items():
        if field not in ("tags", "fields") and not isinstance(part, str):
            raise ValueError(f"{field!r} is not a string")
    if not isinstance(value.get("fields", {}), dict):
        raise ValueError("'fields' is not an object")
    if "id" not in value:
        raise ValueError("no 'id', which earlier lines have")
    content, format_ = _body(value)
    return Document(
        id=value["id"],
        content=content,
        format=format_,
        title=value.get("title", ""),
        source=value.get("source", where),
        tags=tuple(tags),
        tenant=value.get("tenant", ""),
        valid_from=_time(value, "valid_from"),
        valid_until=_time(value, "valid_until"),
        fields=value.get("fields", {}),
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
        raise ValueError(f"format {quote_masked(format_)}, expected one of {', '.join(_FORMATS)}")
    (field,) = bodies[0]
    return value[field].encode("utf-8", "surrogatepass"), _FORMATS[format_]


def _time(value: dict[str, Any], field: str) -> float | None:
    if field not in value:
        return None
    try:
        return parse_time(value[field])
    except ValueError as error:
        raise ValueError(f"{field} is {error}") from None
