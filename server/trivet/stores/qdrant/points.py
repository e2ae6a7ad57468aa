"""Points, filters and operations of a collection, as Qdrant's client takes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import models

from trivet.stores.qdrant.conditions import condition_of
from trivet.stores.records import (
    NO_EXCLUSIONS,
    DocumentHead,
    DocumentKey,
    ExcludedPassages,
    PassageId,
    PassageRecord,
    PointKind,
    Revision,
    Visibility,
)

DENSE = "dense"
TERMS = "terms"
HEAD = "head"  # a passage's field with the id of its document's head
HEAD_TOLD = [HEAD, *(f"{HEAD}.{name}" for name in ("kind", "revision", "digest", "passages"))]
KEYWORDS = ("kind", "document_id", "digest", "tags", "tenant", "text_digest")
_IDS = uuid.UUID("5f0f7c3e-6d0e-4c55-9a39-2f8f3a9d1b60")  # namespace of point ids: never to be changed
_HEADS = models.FieldCondition(key="kind", match=models.MatchAny(any=[PointKind.HEAD, PointKind.GONE]))

_TENURE = models.FieldCondition(key="kind", match=models.MatchValue(value=PointKind.TENURE))
TENURE_ID = str(uuid.uuid5(_IDS, "\0tenure"))  # no document has an id that begins so

HEADS = models.Filter(must=[_HEADS])
# A write that is made again, because it is not known whether it was made, must not hide what is published already.
NOT_PUBLISHED = models.Filter(
    must_not=[models.FieldCondition(key="kind", match=models.MatchValue(value=PointKind.PASSAGE))]
)
PASSAGES = models.Filter(must_not=[_HEADS, _TENURE])


def head_id(key: DocumentKey) -> str:
    """The id of a document's head."""
    return _point_id(key)


def head_point(head: DocumentHead) -> models.PointStruct:
    """A head. It has no vector: no search finds it."""
    return models.PointStruct(id=head_id(head.of.key), vector={}, payload=head.payload())


def passage_point(passage: PassageRecord, kind: str) -> models.PointStruct:
    """A passage, of a `PointKind`."""
    terms = models.SparseVector(indices=list(passage.terms.indices), values=list(passage.terms.values))
    return models.PointStruct(
        id=passage_id(PassageId(passage.of, passage.n)),
        vector={DENSE: list(passage.dense), TERMS: terms},
        payload={**passage.payload(kind), HEAD: head_id(passage.of.key)},
    )


def head_told(payload: Mapping[str, Any]) -> DocumentHead | None:
    """The head of a found passage's document, where the engine told it: one that does not leaves its id."""
    told = payload.get(HEAD)
    return DocumentHead.of_payload({**payload, **told}) if isinstance(told, dict) else None


def visible(who: Visibility, without: Sequence[Revision], unwanted: ExcludedPassages = NO_EXCLUSIONS) -> models.Filter:
    """Published passages that `who` may see, but for those of the revisions in `without` and the `unwanted`.

    What is asked of their fields stands beside the tenant's condition and can only take away."""
    expired = models.FieldCondition(key="valid_until", range=models.Range(lte=who.at))
    not_yet = models.FieldCondition(key="valid_from", range=models.Range(gt=who.at))
    tenants = ["", who.tenant] if who.tenant else [""]
    return models.Filter(
        must=[
            _is("kind", PointKind.PASSAGE),
            models.FieldCondition(key="tenant", match=models.MatchAny(any=tenants)),
            *(_is("tags", tag) for tag in who.tags),
            *(() if who.where is None else (condition_of(who.where),)),
        ],
        must_not=[expired, not_yet, *(_revision(revision) for revision in without), *_unwanted(unwanted)],
    )


def of_kind(kind: str) -> models.Filter:
    """Points of a `PointKind`."""
    return models.Filter(must=[_is("kind", kind)])


def passages_of(key: DocumentKey) -> models.Filter:
    """All passages of a document, staged ones too."""
    return models.Filter(must=_document(key), must_not=[_HEADS])


def publish(of: Revision) -> models.SetPayloadOperation:
    """Let searches find the staged passages of a revision."""
    return models.SetPayloadOperation(
        set_payload=models.SetPayload(payload={"kind": PointKind.PASSAGE}, filter=_revision(of))
    )


def write_head(head: DocumentHead) -> models.UpsertOperation:
    """Never over a newer one: a write whose caller gave up may arrive late."""
    lower = below(head.of.revision)
    return models.UpsertOperation(upsert=models.PointsList(points=[head_point(head)], update_filter=lower))


def tenure_point(number: int) -> models.PointStruct:
    """The point that says since when the collection is live. It has no vector."""
    return models.PointStruct(id=TENURE_ID, vector={}, payload={"kind": PointKind.TENURE, "revision": number})


def below(number: int) -> models.Filter:
    """Points with a lower number: what came late must not be written over what is newer."""
    return models.Filter(must=[models.FieldCondition(key="revision", range=models.Range(lt=number))])


def delete_others(head: DocumentHead) -> models.DeleteOperation:
    """Delete a document's passages up to the head's revision, but for the head's own unless that is a tombstone."""
    must = [
        *_document(head.of.key),
        models.FieldCondition(key="revision", range=models.Range(lte=head.of.revision)),
    ]
    spared: list[models.Condition] = [_HEADS] if head.deleted else [_HEADS, _revision(head.of)]
    return models.DeleteOperation(delete=models.FilterSelector(filter=models.Filter(must=must, must_not=spared)))


def delete_strays(key: DocumentKey, keep: Revision | None) -> models.DeleteOperation:
    """Delete a document's passages, of whatever revision, but for those of `keep`."""
    spared: list[models.Condition] = [_HEADS] if keep is None else [_HEADS, _revision(keep)]
    chosen = models.Filter(must=_document(key), must_not=spared)
    return models.DeleteOperation(delete=models.FilterSelector(filter=chosen))


def _unwanted(unwanted: ExcludedPassages) -> list[models.Condition]:
    if not unwanted.text_digests:
        return []
    same = models.FieldCondition(key="text_digest", match=models.MatchAny(any=list(unwanted.text_digests)))
    kept = models.HasIdCondition(has_id=[passage_id(one) for one in unwanted.kept])
    return [models.Filter(must=[same], must_not=[kept])]


def _revision(of: Revision) -> models.Filter:
    return models.Filter(must=[*_document(of.key), _is("revision", of.revision), _is("digest", of.digest)])


def _document(key: DocumentKey) -> list[models.Condition]:
    return [_is("document_id", key.id), _is("tenant", key.tenant)]


def _is(field: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def passage_id(one: PassageId) -> str:
    """The id of a passage."""
    return _point_id(one.of.key, one.of.revision, one.of.digest, one.n)


def _point_id(key: DocumentKey, *parts: object) -> str:
    """A shared document's points have the ids that they had before documents had tenants."""
    owner = (key.id, key.tenant) if key.tenant else (key.id,)
    return str(uuid.uuid5(_IDS, "\0".join(str(part) for part in (*owner, *parts))))
