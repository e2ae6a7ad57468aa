"""What a document must be to be indexed, and what identifies its content."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import PurePath

from trivet.errors import DocumentRejected
from trivet.types.passage import Document, DocumentFormat

_ID = re.compile(r"[\w][\w .:@+/-]{0,254}")
_BAD_SEGMENTS = {"", ".", ".."}
FORMATS = {
    ".md": DocumentFormat.MARKDOWN,
    ".markdown": DocumentFormat.MARKDOWN,
    ".html": DocumentFormat.HTML,
    ".htm": DocumentFormat.HTML,
    ".txt": DocumentFormat.TEXT,
    ".pdf": DocumentFormat.PDF,
    ".jsonl": DocumentFormat.JSON_LINES,
}
_PDF_HEADER = b"%PDF-"
_PDF_HEADER_WITHIN = 1024  # bytes, as readers have always allowed (PDF 1.7, appendix H, note 13)


def check_document(document: Document, max_bytes: int) -> None:
    """Raise DocumentRejected for what cannot be accepted, as far as can be told at once. Takes milliseconds."""
    check_id(document.id)
    for name in ("valid_from", "valid_until"):
        bound = getattr(document, name)
        if bound is not None and not math.isfinite(bound):
            raise DocumentRejected(f"document {document.id!r}: {name} is no time")
    first, last = document.valid_from, document.valid_until
    if first is not None and last is not None and not first < last:
        raise DocumentRejected(f"document {document.id!r}: valid_until is not after valid_from")
    if document.format is not DocumentFormat.PDF:
        text_of(document, max_bytes)
        return
    _check_size(document, max_bytes)
    if _PDF_HEADER not in document.content[:_PDF_HEADER_WITHIN]:
        raise DocumentRejected(f"document {document.id!r} is no PDF: it does not begin with {_PDF_HEADER.decode()}")


def text_of(document: Document, max_bytes: int) -> str:
    """The text of any document but a PDF; raises DocumentRejected if its id or its content cannot be accepted."""
    check_id(document.id)
    _check_size(document, max_bytes)
    try:
        text = document.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentRejected(f"document {document.id!r} is not UTF-8: byte {error.start} is invalid") from error
    if "\0" in text:
        raise DocumentRejected(f"document {document.id!r} is not text: it has a NUL character")
    if not text.strip():
        raise DocumentRejected(f"document {document.id!r} is empty")
    return text


def _check_size(document: Document, max_bytes: int) -> None:
    if len(document.content) > max_bytes:
        raise DocumentRejected(f"document {document.id!r} has {len(document.content)} bytes, allowed are {max_bytes}")


def check_id(document_id: str) -> None:
    """Raise DocumentRejected for what cannot be a document's id."""
    segments = document_id.split("/")
    if not _ID.fullmatch(document_id) or document_id.endswith(" ") or _BAD_SEGMENTS & set(segments):
        raise DocumentRejected(
            f"document id {document_id[:80]!r}: expected 1 to 255 letters, digits, spaces or any of _ . : @ + - /, "
            "beginning with a letter, digit or _, without empty, '.' or '..' parts between slashes"
        )


def digest_of(document: Document) -> str:
    """SHA-256 over everything that a search may return or filter by, 64 hex digits."""
    about: list[object] = [
        document.format.value,
        document.title,
        document.source,
        sorted(set(document.tags)),
        document.tenant,
    ]
    if document.valid_from is not None or document.valid_until is not None:
        about += [document.valid_from, document.valid_until]
    return hashlib.sha256(json.dumps(about).encode() + b"\0" + document.content).hexdigest()


def id_of_file(path: PurePath) -> str:
    """The id of a corpus file: its path (relative to the corpus) without the ending."""
    return path.with_suffix("").as_posix()


def format_of_file(path: PurePath) -> DocumentFormat:
    """By its ending; raises DocumentRejected for one that is not known."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise DocumentRejected(f"{path}: expected one of the endings {', '.join(FORMATS)}") from None
