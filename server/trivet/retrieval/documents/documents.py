"""What a document must be to be indexed, and what identifies its content."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from trivet.errors import DocumentRejected
from trivet.excerpt import quote
from trivet.retrieval.documents.ids import CODE_ENDINGS, check_id
from trivet.types.metadata import fields as field_rules
from trivet.types.passage import Document, DocumentFormat
from trivet.types.text.names import NAME, is_printable

MAX_TAGS = 64
MAX_TAG = 128  # characters
MAX_TITLE = 512
MAX_SOURCE = 4_096
MAX_FIELDS_BYTES = 16_384  # of what a document gives, as JSON
_TENANT = re.compile(NAME)
_FIELD = re.compile(field_rules.FIELD_NAME)
FORMATS = {
    ".md": DocumentFormat.MARKDOWN,
    ".markdown": DocumentFormat.MARKDOWN,
    ".html": DocumentFormat.HTML,
    ".htm": DocumentFormat.HTML,
    ".txt": DocumentFormat.TEXT,
    ".pdf": DocumentFormat.PDF,
    ".jsonl": DocumentFormat.JSON_LINES,
    ".docx": DocumentFormat.DOCX,
    ".pptx": DocumentFormat.PPTX,
    ".xlsx": DocumentFormat.XLSX,
    ".odt": DocumentFormat.ODF,
    ".odp": DocumentFormat.ODF,
    ".ods": DocumentFormat.ODF,
    ".epub": DocumentFormat.EPUB,
    ".eml": DocumentFormat.MAIL,
    ".mbox": DocumentFormat.MAIL,
    ".csv": DocumentFormat.CSV,
    ".tsv": DocumentFormat.CSV,
    ".rst": DocumentFormat.RST,
    ".ipynb": DocumentFormat.NOTEBOOK,
    **dict.fromkeys(CODE_ENDINGS, DocumentFormat.CODE),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"), DocumentFormat.IMAGE),
}
_ARCHIVE_HEADER = b"PK\x03\x04"
_PDF_HEADER = b"%PDF-"
_PDF_HEADER_WITHIN = 1024  # bytes, as readers have always allowed (PDF 1.7, appendix H, note 13)


def check_document(document: Document, max_bytes: int, fields: field_rules.FieldTypes | None = None) -> None:
    """Raise DocumentRejected for what cannot be accepted, as far as can be told without reading it.

    Linear in the content; some 10 ms for 10 MiB, so large ones are checked off the event loop.
    """
    check_about(document)
    if fields is not None:
        _check_declared(document, fields)
    if len(document.content) > max_bytes:
        raise DocumentRejected(too_large(document.id, len(document.content), max_bytes))
    if document.format.is_text:
        text_of(document)
    elif document.format.is_archive and not document.content.startswith(_ARCHIVE_HEADER):
        raise DocumentRejected(
            f"document {document.id!r} is no {document.format.value.upper()} file: it is not a ZIP archive"
        )
    elif not document.content or document.content.isspace():
        raise DocumentRejected(f"document {document.id!r} is empty")
    elif document.format is DocumentFormat.PDF and _PDF_HEADER not in document.content[:_PDF_HEADER_WITHIN]:
        raise DocumentRejected(f"document {document.id!r} is not a PDF: it does not begin with {_PDF_HEADER.decode()}")


def check_about(document: Document) -> None:
    """Raise DocumentRejected for what is wrong with anything but the content."""
    check_id(document.id)
    try:
        check_tenant(document.tenant)
        check_tags(document.tags)
        for name, value, most in (("title", document.title, MAX_TITLE), ("source", document.source, MAX_SOURCE)):
            _check_text(name, value, most)
        _check_validity(document.valid_from, document.valid_until)
        check_fields(document.fields)
    except ValueError as error:
        raise DocumentRejected(f"document {document.id!r}: {error}") from None


def check_tenant(tenant: str) -> None:
    """Raise ValueError for what is neither empty nor a name as in the configuration's keys."""
    if tenant and not _TENANT.fullmatch(tenant):
        raise ValueError(
            f"tenant {quote(tenant)}, expected 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
        )


def check_tags(tags: Sequence[str]) -> None:
    """Raise ValueError for too many tags, or one that is empty, too long or not printable."""
    if len(tags) > MAX_TAGS:
        raise ValueError(f"{len(tags):,} tags, expected at most {MAX_TAGS}")
    for tag in tags:
        if not (1 <= len(tag) <= MAX_TAG and is_printable(tag) and not tag.isspace()):
            raise ValueError(f"tag {quote(tag)}, expected 1 to {MAX_TAG} printable characters")


def check_fields(fields: Mapping[str, Any]) -> None:
    """Raise ValueError for too many fields, too much in them, or a name that is none. Their types are the index's to
    say.
    """
    if len(fields) > field_rules.MAX_GIVEN:
        raise ValueError(f"{len(fields):,} fields, expected at most {field_rules.MAX_GIVEN}")
    for name in fields:
        if not _FIELD.fullmatch(name):
            raise ValueError(
                f"field {quote(name)}, expected a name of 1 to 32 of a-z, 0-9 and '_' that begins with a letter"
            )
    if fields and len(json.dumps(dict(fields))) > MAX_FIELDS_BYTES:
        raise ValueError(f"fields of more than {MAX_FIELDS_BYTES:,} bytes of JSON")


def _check_declared(document: Document, types: field_rules.FieldTypes) -> None:
    """Raise DocumentRejected for a field that the index does not declare, or whose value has another type."""
    try:
        field_rules.field_values(types, document.fields)
    except ValueError as error:
        raise DocumentRejected(f"document {document.id!r}: {error}") from None


def text_of(document: Document) -> str:
    """The text of a document whose format is text; raises DocumentRejected if it is none."""
    try:
        text = document.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentRejected(f"document {document.id!r} is not UTF-8: byte {error.start} is invalid") from error
    if "\0" in text:
        raise DocumentRejected(f"document {document.id!r} is not text: it has a NUL character")
    if not text or text.isspace():
        raise DocumentRejected(f"document {document.id!r} is empty")
    return text


def too_large(document_id: str, size: int, max_bytes: int) -> str:
    """The message about a document of more bytes than its index takes."""
    return (
        f"document {document_id!r} has {size} bytes, expected at most {max_bytes}: "
        "split it, or raise max_document_bytes in the index's index.yaml"
    )


def _check_text(name: str, value: str, most: int) -> None:
    if len(value) > most:
        raise ValueError(f"{name} has {len(value):,} characters, expected at most {most:,}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{name} {quote(value)} is not text: it has a NUL character or half a surrogate pair")


def _check_validity(first: float | None, last: float | None) -> None:
    for name, bound in (("valid_from", first), ("valid_until", last)):
        if bound is not None and not math.isfinite(bound):
            raise ValueError(f"{name} is not a time")
    if first is not None and last is not None and not first < last:
        raise ValueError("valid_until is not after valid_from")


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
    if document.fields:
        about.append(dict(sorted(document.fields.items())))
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode() + b"\0")
    digest.update(document.content)
    return digest.hexdigest()


def format_of_file(path: PurePath) -> DocumentFormat:
    """By its ending; raises DocumentRejected for one that is not known."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise DocumentRejected(f"expected one of the endings {', '.join(FORMATS)}") from None
