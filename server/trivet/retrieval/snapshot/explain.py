"""How a search came about: the halves' ranks, the fused score, and why a candidate is not in the answer."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from trivet.retrieval.snapshot.duplicates import DuplicateFilter
from trivet.retrieval.snapshot.fusion import leg_weights
from trivet.retrieval.snapshot.recency import with_recency
from trivet.retrieval.snapshot.search import asked_vectors, first_limit, passage_of, search
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.retrieval.snapshot.terms import codes
from trivet.stores.qdrant.store import HALVES
from trivet.stores.records import AskedVectors, DocumentKey, FoundPassage, PassageId, Visibility
from trivet.types.metadata.where import Where
from trivet.types.passage import ExplainedPassage, LeftOut, SearchExplanation, SearchQuery

_MOST = 100  # passages that are told of


async def explain(snapshot: Snapshot, query: SearchQuery, where: Where | None = None) -> SearchExplanation:
    """Search as `search` does, and both halves alone, with the filter and without; raises what that raises.

    A document that is written meanwhile may be told of in another state than the answer's.
    """
    if snapshot.spelling is not None:
        await snapshot.spelling.ensure_read()
    answer = await search(snapshot, query, where)
    asked = query.asked
    now = time.time()
    vectors, corrections = await asked_vectors(snapshot, asked, Visibility(query.tenant, (), now))
    seen, all_ = (Visibility(query.tenant, tags, now, what) for tags, what in ((query.tags, where), ((), None)))
    filtered = bool(query.tags or where is not None)
    most = max(snapshot.settings.candidates, first_limit(snapshot, query))
    halves = [await _half(snapshot, vectors, seen, half, most) for half in HALVES]
    outside = [await _half(snapshot, vectors, all_, half, most) for half in HALVES] if filtered else []
    weights = _weights(snapshot, asked, [one for half in halves for one in half])
    candidates = _ranked(snapshot, halves, weights, now)
    within = {one.id for one in candidates}
    others = {one.id: one for half in outside for one in half if one.id not in within}
    told = [*_told(candidates, halves, query, [one.id for one in answer]), *_unmet(others, outside)]
    return SearchExplanation(
        snapshot.name,
        weights,
        snapshot.settings.rrf_k,
        most,
        len(vectors.terms.indices),
        tuple(told[:_MOST]),
        corrections=corrections,
    )


async def _half(snapshot: Snapshot, asked: AskedVectors, who: Visibility, half: str, most: int) -> list[FoundPassage]:
    """One half alone, best first, as far as the search looks at it."""
    if half == HALVES[1] and not asked.terms.indices:
        return []
    settings = snapshot.settings
    async with snapshot.search_turns.slot(who.tenant):
        return await snapshot.store.search(
            snapshot.collection,
            [asked],
            who,
            limit=most,
            candidates=most,
            rrf_k=settings.rrf_k,
            moment="" if settings.recency is None else settings.recency.field,
            halves=(half,),
        )


def _weights(snapshot: Snapshot, asked: str, found: Sequence[FoundPassage]) -> tuple[float, float]:
    """As the search had them: a part number that nothing has counts as none."""
    english, numbers = snapshot.settings.embedding.model is None, codes(asked)
    known = not numbers or any(numbers & codes(f"{one.title}\n{one.text}") for one in found)
    return leg_weights(asked, known=known, english=english)


def _ranked(
    snapshot: Snapshot, halves: Sequence[Sequence[FoundPassage]], weights: tuple[float, float], now: float
) -> list[FoundPassage]:
    """The candidates with their fused scores, the newer with more where the index wants it, best first."""
    scores: dict[PassageId, float] = defaultdict(float)
    found: dict[PassageId, FoundPassage] = {}
    for half, weight in zip(halves, weights, strict=True):
        for rank, one in enumerate(half, 1):
            scores[one.id] += 1 / (rank / weight + snapshot.settings.rrf_k - 1)
            found[one.id] = one
    scored = [one.scored(scores[one.id]) for one in found.values()]
    if snapshot.settings.recency is not None:
        scored = with_recency(scored, snapshot.settings.recency, snapshot.settings.rrf_k, now)
    return sorted(scored, key=lambda one: -one.score)


def _told(
    candidates: Sequence[FoundPassage],
    halves: Sequence[Sequence[FoundPassage]],
    query: SearchQuery,
    answer: Sequence[str],
) -> Iterator[ExplainedPassage]:
    """The answer's passages in its order, then the others with what was in their way."""
    ranks = [_ranks(half) for half in halves]
    order = {id_: place for place, id_ in enumerate(answer)}
    reasons = _reasons(candidates, query, set(answer))
    for one in sorted(candidates, key=lambda one: order.get(passage_of(one).id, len(order))):
        yield ExplainedPassage(
            passage_of(one), ranks[0].get(one.id, 0), ranks[1].get(one.id, 0), one.recency, reasons.get(one.id)
        )


def _reasons(candidates: Sequence[FoundPassage], query: SearchQuery, answer: set[str]) -> Mapping[PassageId, LeftOut]:
    """Of each candidate that is not in the answer, the first thing that was in its way."""
    copies, of_document = DuplicateFilter(query.asked), Counter[DocumentKey]()
    reasons: dict[PassageId, LeftOut] = {}
    for one in candidates:
        if passage_of(one).id in answer:
            copies.add(one)
            of_document[one.of.key] += 1
        elif not one.counts:
            reasons[one.id] = LeftOut.REPLACED
        elif one.score < query.min_score:
            reasons[one.id] = LeftOut.BELOW
        elif query.max_per_document and of_document[one.of.key] >= query.max_per_document:
            reasons[one.id] = LeftOut.FULL
        elif query.collapse and not copies.add(one):
            reasons[one.id] = LeftOut.COPY
        else:
            reasons[one.id] = LeftOut.BEYOND
    return reasons


def _unmet(
    others: Mapping[PassageId, FoundPassage], outside: Sequence[Sequence[FoundPassage]]
) -> Iterator[ExplainedPassage]:
    """What would be a candidate, but for the filter; ranks are those without it."""
    ranks = [_ranks(half) for half in outside]
    for id_, one in others.items():
        places = [rank.get(id_, 0) for rank in ranks]
        yield ExplainedPassage(passage_of(one.scored(0.0)), places[0], places[1], 0.0, LeftOut.FILTERED)


def _ranks(half: Sequence[FoundPassage]) -> dict[PassageId, int]:
    return {one.id: rank for rank, one in enumerate(half, 1)}
