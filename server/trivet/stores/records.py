"""What is kept in a collection: passages, and one head per document."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class PointKind:
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
class SparseVector:
    """A sparse vector: hashed terms and their weights."""

    indices: Sequence[int]
    values: Sequence[float]


class DocumentKey(NamedTuple):
    """What identifies a document of an index. `tenant` is empty for one that all tenants share."""

    tenant: str
    id: str


class Revision(NamedTuple):
    """One content of a document: a revision and, against a log that was lost, its digest."""

    key: DocumentKey
    revision: int
    digest: str

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> Revision:
        """From what is stored."""
        return cls(DocumentKey(payload["tenant"], payload["document_id"]), int(payload["revision"]), payload["digest"])


@dataclass(frozen=True, slots=True)
class Visibility:
    """Who looks, and when: shared documents and `tenant`'s own that hold all `tags` and are valid `at` that time."""

    tenant: str
    tags: tuple[str, ...]
    at: float


class PassageId(NamedTuple):
    """A passage, by its document's content and its position in it."""

    of: Revision
    n: int


@dataclass(frozen=True, slots=True)
class ExcludedPassages:
    """Passages with a text that has one of these `text_digests`, but for those in `kept`."""

    text_digests: tuple[str, ...] = ()
    kept: tuple[PassageId, ...] = ()


NO_EXCLUSIONS = ExcludedPassages()


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """One passage to write. `of` says which content of the document it belongs to, `n` its position.

    `text_digest`: equal for passages with the same text, as `trivet.retrieval.snapshot.duplicates` understands it.
    `dense` is normalised. `n_tokens` is counted with the embedding model's tokenizer. `start` and `end`: its range in
    the document's text, in characters. Shown from `valid_from` until just before `valid_until`, seconds since 1970.
    """

    of: Revision
    n: int
    title: str
    text: str
    n_tokens: int
    start: int
    end: int
    tags: tuple[str, ...]
    valid_from: float | None
    valid_until: float | None
    dense: Sequence[float]
    terms: SparseVector
    text_digest: str = ""

    def payload(self, kind: str) -> dict[str, Any]:
        """As it is stored. A bound that there is none of is absent: a condition on an absent field is never met."""
        bounds = {"valid_from": self.valid_from, "valid_until": self.valid_until}
        return {
            "kind": kind,
            **_revision_payload(self.of),
            "n": self.n,
            "title": self.title,
            "text": self.text,
            "text_digest": self.text_digest,
            "n_tokens": self.n_tokens,
            "start": self.start,
            "end": self.end,
            "tags": list(self.tags),
            **{name: float(bound) for name, bound in bounds.items() if bound is not None},
        }


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """One passage found, with its fused rank score.

    `similarity`: cosine of its vector with the query's. `counts`: its content is the one that its document's head
    named after the search.
    """

    score: float
    similarity: float
    counts: bool
    of: Revision
    n: int
    title: str
    text: str
    n_tokens: int
    start: int
    end: int
    valid_from: float | None
    valid_until: float | None
    text_digest: str = ""

    @property
    def id(self) -> PassageId:
        """Which one it is."""
        return PassageId(self.of, self.n)

    @classmethod
    def of_payload(
        cls, score: float, similarity: float, current: Collection[Revision], payload: Mapping[str, Any]
    ) -> FoundPassage:
        """From what is stored; `current` are the revisions that count."""
        of = Revision.of_payload(payload)
        return cls(
            score=score,
            similarity=similarity,
            counts=of in current,
            of=of,
            n=payload["n"],
            title=payload["title"],
            text=payload["text"],
            n_tokens=payload["n_tokens"],
            start=payload["start"],
            end=payload["end"],
            valid_from=payload.get("valid_from"),
            valid_until=payload.get("valid_until"),
            text_digest=payload.get("text_digest", ""),
        )


@dataclass(frozen=True, slots=True)
class DocumentHead:
    """Which content of a document counts, written last. It outlives a deletion, as a tombstone.

    `passages`: how many belong to it, 0 if deleted.
    """

    of: Revision
    deleted: bool
    passages: int

    def payload(self) -> dict[str, Any]:
        """As it is stored."""
        kind = PointKind.GONE if self.deleted else PointKind.HEAD
        return {"kind": kind, **_revision_payload(self.of), "passages": self.passages}

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any]) -> DocumentHead:
        """From what is stored."""
        return cls(Revision.of_payload(payload), payload["kind"] == PointKind.GONE, payload["passages"])


def _revision_payload(of: Revision) -> dict[str, Any]:
    return {"document_id": of.key.id, "tenant": of.key.tenant, "revision": of.revision, "digest": of.digest}
