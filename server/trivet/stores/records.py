"""What is kept in a collection: passages, and one head per document."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind:
    """What a point is: a passage that searches find, one not published yet, a document's head, a deleted one's head."""

    PASSAGE = "passage"
    STAGED = "staged"
    HEAD = "head"
    GONE = "gone"


class Origin(Enum):
    """Where a document's present content came from."""

    CORPUS = "corpus"
    UPSERT = "upsert"


@dataclass(frozen=True, slots=True)
class Terms:
    """A sparse vector: hashed terms and their weights."""

    indices: Sequence[int]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """One passage to write. `(revision, digest)` says which content of the document it belongs to, `n` its position.

    `dense` is normalised. `n_tokens` is counted with the embedding model's tokenizer.
    """

    document_id: str
    revision: int
    digest: str
    n: int
    title: str
    text: str
    n_tokens: int
    tags: tuple[str, ...]
    tenant: str
    dense: Sequence[float]
    terms: Terms

    def payload(self) -> dict[str, Any]:
        """As it is stored at first: staged."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in ("dense", "terms")}
        return {**fields, "kind": Kind.STAGED, "tags": list(self.tags)}


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """One passage found, with its fused rank score."""

    document_id: str
    revision: int
    digest: str
    n: int
    title: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a document besides its passages. It outlives a deletion, so that revisions only ever grow.

    `digest` covers content, format, title, source, tags and tenant. `corpus_digest` is the digest of the corpus file as
    it was last taken over, empty if there was none: a file is only taken over again once it has changed, so that an
    upsert or a deletion that came later stands.
    """

    document_id: str
    revision: int
    digest: str
    origin: Origin
    corpus_digest: str
    deleted: bool
    passages: int
    title: str
    source: str
    tags: tuple[str, ...]
    tenant: str

    def payload(self) -> dict[str, Any]:
        """As it is stored."""
        kind = Kind.GONE if self.deleted else Kind.HEAD
        return {**dataclasses.asdict(self), "kind": kind, "origin": self.origin.value, "tags": list(self.tags)}

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> Head:
        """From what is stored."""
        fields = {field.name: payload[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**fields, "origin": Origin(payload["origin"]), "tags": tuple(payload["tags"])})
