"""What a document must be to be indexed, and what identifies its content."""

from __future__ import annotations

import hashlib
import json
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
}


def text_of(document: Document, max_bytes: int) -> str:
    """The document's text; raises DocumentRejected if its id or its content cannot be accepted."""
    check_id(document.id)
    if len(document.content) > max_bytes:
        raise DocumentRejected(f"document {document.id!r} has {len(document.content)} bytes, allowed are {max_bytes}")
    try:
        text = document.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentRejected(f"document {document.id!r} is not UTF-8: byte {error.start} is invalid") from error
    if "\0" in text:
        raise DocumentRejected(f"document {document.id!r} is not text: it has a NUL character")
    if not text.strip():
        raise DocumentRejected(f"document {document.id!r} is empty")
    return text


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
    about = json.dumps(
        [document.format.value, document.title, document.source, sorted(set(document.tags)), document.tenant]
    )
    return hashlib.sha256(about.encode() + b"\0" + document.content).hexdigest()


def id_of_file(path: PurePath) -> str:
    """The id of a corpus file: its path (relative to the corpus) without the ending."""
    return path.with_suffix("").as_posix()


def format_of_file(path: PurePath) -> DocumentFormat:
    """By its ending; raises DocumentRejected for one that is not known."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise DocumentRejected(f"{path}: expected one of the endings {', '.join(FORMATS)}") from None
