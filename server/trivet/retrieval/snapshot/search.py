"""Searching a snapshot: only what counts, and all of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from trivet.errors import RetrievalUnavailable
from trivet.retrieval.snapshot.fusion import leg_weights
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.stores.records import DocumentKey, FoundPassage, Revision, Visible
from trivet.types.passage import Passage, SearchQuery

_TIES = 4  # more passages than asked for, so that a tie at the last place is seen whole
_ROUNDS = 10  # the caller's deadline mostly comes first
_WIDER = 4  # times as many passages in the next round, when documents with many of them crowd out the others
_MOST = 1000


async def search(snapshot: Snapshot, query: SearchQuery) -> list[Passage]:
    """Hybrid search; nothing is kept but the query's vector. The caller bounds it in time.

    A passage counts only if its revision is its document's head's. When some do not, because their document was
    replaced or deleted a moment ago, the search is made again without those revisions: what has taken their place may
    not have been among the first. So every passage of an answer was current at one moment, the last look at the heads,
    and nothing is left out. Raises RetrievalUnavailable where documents change faster than that.
    """
    asked = query.asked
    dense = (await snapshot.embedder.embed_query(asked)).tolist()
    terms = snapshot.terms.of_query(asked)
    who = Visible(query.tenant, query.tags, time.time())
    limit = (3 if query.max_per_document else 1) * query.top_k + _TIES
    stale: set[Revision] = set()
    for _ in range(_ROUNDS):
        found = await snapshot.store.search(
            snapshot.collection,
            dense,
            terms,
            who,
            limit=limit,
            candidates=max(snapshot.settings.candidates, limit),
            rrf_k=snapshot.settings.rrf_k,
            weights=leg_weights(asked),
            without=sorted(stale),
        )
        counting = [one for one in found if one.counts]
        chosen = _chosen(counting, query)
        current = len(counting) == len(found)
        if not current:
            stale |= {one.of for one in found if not one.counts}
        elif len(chosen) < query.top_k and len(found) == limit < _MOST:
            limit = min(_MOST, _WIDER * limit)
        else:
            return [_passage(one) for one in chosen]
    if current:  # there may be more, but for passages that the query does not want
        return [_passage(one) for one in chosen]
    # Also with as many as were asked for: what took the stale ones' place may be better than some of them.
    raise RetrievalUnavailable("documents were replaced faster than they could be searched", retry_after=0.1)


def _chosen(found: Iterable[FoundPassage], query: SearchQuery) -> list[FoundPassage]:
    """The best that are wanted. Ranks tie often (first by meaning and second by words, and the reverse), and the engine
    breaks ties by chance: here they are broken the same way each time."""
    now = time.time()
    of_document: Counter[DocumentKey] = Counter()
    chosen: list[FoundPassage] = []
    for one in sorted(found, key=lambda one: (-one.score, one.of.key.id, one.of.key.tenant, one.n)):
        if one.score < query.min_score or not _valid(one, now):
            continue
        of_document[one.of.key] += 1
        if not query.max_per_document or of_document[one.of.key] <= query.max_per_document:
            chosen.append(one)
    return chosen[: query.top_k]


def _valid(one: FoundPassage, now: float) -> bool:
    begun = one.valid_from is None or one.valid_from <= now
    return begun and (one.valid_until is None or now < one.valid_until)


def _passage(one: FoundPassage) -> Passage:
    key = one.of.key
    owner = f"{key.tenant}!" if key.tenant else ""  # no document's id has a "!"
    return Passage(
        id=f"{owner}{key.id}@{one.of.revision}#{one.n}",
        document_id=key.id,
        title=one.title,
        text=one.text,
        score=one.score,
        revision=one.of.revision,
        start=one.start,
        end=one.end,
        similarity=one.similarity,
    )
