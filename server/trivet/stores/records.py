"""What is kept in a collection: passages, and one head per document."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from trivet.types.metadata.fields import FieldValue
from trivet.types.metadata.where import Where


class PointKind:
    """What a point is: a passage that searches find, one not published yet, a document's head, a deleted one's head, or
    since when the collection is live, where gateways share it."""

    PASSAGE = "passage"
    STAGED = "staged"
    HEAD = "head"
    GONE = "gone"
    TENURE = "tenure"


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
    """Who looks, and when: shared documents and `tenant`'s own that hold all `tags` and are valid `at` that time.

    `where`: what their fields have to meet besides, in the fields' types."""

    tenant: str
    tags: tuple[str, ...]
    at: float
    where: Where | None = None


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
    the document's text, in characters; `place` names it for people. Shown from `valid_from` until just before
    `valid_until`, seconds since 1970.
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
    place: str = ""
    fields: Mapping[str, FieldValue] = field(default_factory=dict, hash=False)

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
            **({"place": self.place} if self.place else {}),
            **{name: float(bound) for name, bound in bounds.items() if bound is not None},
            **{field_key(name): _stored(value) for name, value in self.fields.items()},
        }


@dataclass(frozen=True, slots=True)
class AskedVectors:
    """One text as it is searched with. `dense` is normalised; `weights`: of the dense and of the term search."""

    dense: Sequence[float]
    terms: SparseVector
    weights: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """One passage found, with its fused rank score.

    `similarity`: cosine of its vector with the query's, the highest of several. `moment`: of the field that was asked
    for, seconds since 1970.
    `counts`: its content is the one that its document's head named after the search.
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
    place: str = ""
    moment: float | None = None
    recency: float = 0.0

    def scored(self, score: float, recency: float = 0.0) -> FoundPassage:
        """The same with another score, of which `recency` is for being new."""
        return replace(self, score=score, recency=recency)

    @property
    def id(self) -> PassageId:
        """Which one it is."""
        return PassageId(self.of, self.n)

    @classmethod
    def of_payload(
        cls,
        score: float,
        similarity: float,
        current: Collection[Revision],
        payload: Mapping[str, Any],
        moment: str = "",
    ) -> FoundPassage:
        """From what is stored; `current` are the revisions that count, `moment` names a field of dates."""
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
            place=payload.get("place", ""),
            moment=payload.get(field_key(moment)) if moment else None,
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


def field_key(name: str) -> str:
    """Where a point keeps a field of its document."""
    return f"field_{name}"


def _stored(value: FieldValue) -> Any:
    """A truth value as a word: the embedded engine matches none."""
    if isinstance(value, bool):
        return truth_word(value)
    return list(value) if isinstance(value, tuple) else value


def truth_word(value: bool) -> str:
    """A truth value as it is stored."""
    return "true" if value else "false"


def _revision_payload(of: Revision) -> dict[str, Any]:
    return {"document_id": of.key.id, "tenant": of.key.tenant, "revision": of.revision, "digest": of.digest}
