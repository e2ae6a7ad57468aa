"""An entry of the document log, and how it is read from its row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trivet.stores.records import DocumentKey, Origin, Revision
from trivet.types.passage import Document, DocumentFormat


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One acknowledged upsert or deletion, without its content.

    `seq` grows over the whole log, `revision` per document of an index, both without exception. `digest` covers the
    content and what is said about it; a deletion has its predecessor's. `corpus_digest` is the digest of the corpus
    file as it was last taken over, empty if there was none: a file is only taken over again once it has changed, so
    that an upsert or a deletion that came later stands. `time` in seconds since 1970.
    """

    seq: int
    index: str
    tenant: str
    document_id: str
    revision: int
    digest: str
    deleted: bool
    origin: Origin
    corpus_digest: str
    format: DocumentFormat
    title: str
    source: str
    tags: tuple[str, ...]
    valid_from: float | None
    valid_until: float | None
    time: float
    fields: Mapping[str, Any]

    @property
    def key(self) -> DocumentKey:
        """Which document."""
        return DocumentKey(self.tenant, self.document_id)

    @property
    def of(self) -> Revision:
        """Which content of the document."""
        return Revision(self.key, self.revision, self.digest)

    def document(self, content: bytes) -> Document:
        """The document as it was given."""
        return Document(
            id=self.document_id,
            content=content,
            format=self.format,
            title=self.title,
            source=self.source,
            tags=self.tags,
            tenant=self.tenant,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            fields=self.fields,
        )


def damaged(entry: LogEntry, problem: str) -> str:
    """What to say of an entry whose content cannot be used, with what mends it."""
    owner = f" of tenant {entry.tenant!r}" if entry.tenant else ""
    return (
        f"document log: the content of document {entry.document_id!r}{owner} in index {entry.index!r}, revision "
        f"{entry.revision}, is damaged: {problem}. Add the document again, delete it, or restore a backup"
    )


def entry_of(row: Any) -> LogEntry:
    """Raises sqlite3.DatabaseError for a row that this program cannot have written."""
    try:
        return _entry(row)
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"entry {row['seq']} is damaged: {error}") from error


def _entry(row: Any) -> LogEntry:
    return LogEntry(
        seq=row["seq"],
        index=row["index_name"],
        tenant=row["tenant"],
        document_id=row["document_id"],
        revision=row["revision"],
        digest=row["digest"],
        deleted=bool(row["deleted"]),
        origin=Origin(row["origin"]),
        corpus_digest=row["corpus_digest"],
        format=DocumentFormat(row["format"]),
        title=row["title"],
        source=row["source"],
        tags=tuple(json.loads(row["tags"])),
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        time=row["time"],
        fields=json.loads(row["fields"]),
    )
