"""Documents in a dictionary, for doors that change them: one index, `facts`, which nobody searches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from trivet.errors import DocumentRejected, NotFound, RetrievalUnavailable
from trivet.types.passage import (
    Acknowledgement,
    Document,
    DocumentSummary,
    IndexStatus,
)


class MemoryIndexes:
    """As much of `ports.IndexAdministration` as a door calls. `kept`: by whose they are and their id."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Document] = {}

    async def upsert(self, index: str, document: Document) -> Acknowledgement:
        """Refuses what is empty; the content `down` is a store that is away."""
        if index != "facts":
            raise NotFound(f"no index {index!r}")
        if not document.content:
            raise DocumentRejected(f"document {document.id!r} is empty")
        if document.content == b"down":
            raise RetrievalUnavailable("down")
        self.kept[document.tenant, document.id] = document
        return Acknowledgement(document.id, 1, False, 1)

    def max_document_bytes(self, index: str) -> int:
        """As by default."""
        return 4 << 20

    async def delete(self, index: str, ids: Sequence[str], tenant: str = "") -> list[str]:
        """Those that there were."""
        return [id_ for id_ in ids if self.kept.pop((tenant, id_), None)]

    async def status(self) -> list[IndexStatus]:
        """The one."""
        return [IndexStatus("facts", "s1", len(self.kept), len(self.kept), "none", 0)]

    def build(self, index: str, *, rebuild: bool = False, strict: bool = False) -> Any:
        """Nobody calls it here."""
        raise NotImplementedError

    def documents(self, index: str) -> AsyncGenerator[Sequence[DocumentSummary]]:
        """Nor this."""
        raise NotImplementedError

    async def rollback(self, index: str, snapshot: str = "", reason: str = "") -> IndexStatus:
        """Nor this."""
        raise NotImplementedError
