"""Searching a snapshot: only what counts, and all of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trivet.errors import RetrievalUnavailable
from trivet.retrieval.snapshot.duplicates import DuplicateFilter
from trivet.retrieval.snapshot.fusion import leg_weights
from trivet.retrieval.snapshot.recency import with_recency
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.retrieval.snapshot.spelling import corrected, with_corrections
from trivet.retrieval.snapshot.terms import codes
from trivet.stores.records import (
    NO_EXCLUSIONS,
    AskedVectors,
    DocumentKey,
    ExcludedPassages,
    FoundPassage,
    Revision,
    Visibility,
)
from trivet.types.metadata.where import Where
from trivet.types.passage import Correction, Passage, SearchQuery

_TIES = 4  # more passages than asked for, so that a tie at the last place is seen whole
_ROUNDS = 10  # the caller's deadline mostly comes first
_WIDER = 4  # times as many passages in the next round, when documents with many of them crowd out the others
_MOST = 1000


async def search(snapshot: Snapshot, query: SearchQuery, where: Where | None = None) -> list[Passage]:
    """Hybrid search with each of the query's texts; nothing is kept but their vectors. The caller bounds it in time.

    A passage counts only if its revision is its document's head's. When some do not, because their document was
    replaced or deleted a moment ago, the search is made again without those revisions: what has taken their place may
    not have been among the first. So every passage of an answer was current at one moment, the last look at the heads,
    and nothing is left out. With `query.collapse` copies leave their places to what comes behind them: where some stay
    empty, the search is made again without the texts of copies, but with what stands for them. A part number that no
    passage has says nothing: then the search is made again by the question's meaning. Raises RetrievalUnavailable where
    documents change faster than that. `where`: what the query asks of fields, in their types.
    """
    who = Visibility(query.tenant, query.tags, time.time(), where)
    questions = [await _question(snapshot, text, who) for text in query.all_asked]
    recency = snapshot.settings.recency
    round_ = _SearchRound(first_limit(snapshot, query))
    for _ in range(_ROUNDS):
        async with snapshot.search_turns.slot(query.tenant):
            found = await snapshot.store.search(
                snapshot.collection,
                [one.vectors for one in questions],
                who,
                limit=round_.limit,
                candidates=max(snapshot.settings.candidates, round_.limit),
                rrf_k=snapshot.settings.rrf_k,
                without=sorted(round_.stale),
                unwanted=round_.unwanted or NO_EXCLUSIONS,
                moment="" if recency is None else recency.field,
            )
        texts = [f"{one.title}\n{one.text}" for one in found]
        plain = [one.with_known_numbers(texts) for one in questions]
        if plain != questions:
            questions = plain
            continue
        copies = DuplicateFilter("\n".join(query.all_asked))
        current = [one for one in found if one.counts]
        if recency is not None:
            current = with_recency(current, recency, snapshot.settings.rrf_k, time.time())
        chosen = _chosen(current, query, copies)
        if round_.settled(found, copies, enough=len(chosen) == query.top_k):
            return [passage_of(one) for one in chosen]
    if round_.current:  # there may be more, but for passages that the query does not want
        return [passage_of(one) for one in chosen]
    # Also with as many as were asked for: what took the stale ones' place may be better than some of them.
    raise RetrievalUnavailable("documents were replaced faster than they could be searched", retry_after=0.1)


def first_limit(snapshot: Snapshot, query: SearchQuery) -> int:
    """How many passages are asked for at first; each half is asked for as many, or for the setting's candidates."""
    limit = (3 if query.max_per_document else 1) * query.top_k + _TIES
    settings = snapshot.settings
    return limit if settings.recency is None else max(limit, min(_MOST, settings.candidates))


@dataclass(frozen=True, slots=True)
class _Question:
    """A text that is searched with. `numbers`: part numbers in it that decide its weights."""

    vectors: AskedVectors
    numbers: frozenset[str]
    plain_weights: tuple[float, float]

    def with_known_numbers(self, texts: Sequence[str]) -> _Question:
        """The same, by its meaning where no text that was found has one of its numbers."""
        if not self.numbers or any(self.numbers & codes(text) for text in texts):
            return self
        return _Question(replace(self.vectors, weights=self.plain_weights), frozenset(), self.plain_weights)


async def _question(snapshot: Snapshot, text: str, who: Visibility) -> _Question:
    english = snapshot.settings.embedding.model is None  # the default model knows English
    vectors, _ = await asked_vectors(snapshot, text, who)
    weights = leg_weights(text, english=english)
    return _Question(replace(vectors, weights=weights), codes(text), leg_weights(text, known=False, english=english))


async def asked_vectors(snapshot: Snapshot, text: str, who: Visibility) -> tuple[AskedVectors, tuple[Correction, ...]]:
    """What a text is searched with, not weighed yet, and what was corrected in it where the index wants that."""
    dense = (await snapshot.embedder.embed_query(text, who.tenant)).tolist()
    asked = AskedVectors(dense, snapshot.terms.of_query(text))
    if snapshot.spelling is None:
        return asked, ()
    async with snapshot.search_turns.slot(who.tenant):
        corrections = await snapshot.spelling.corrections(text, dense, who)
    if not corrections:
        return asked, ()
    # Measured (`benchmarks/retrieval_quality`): a wrong word turns a question's meaning away, too.
    dense = (await snapshot.embedder.embed_query(corrected(text, corrections, snapshot.terms), who.tenant)).tolist()
    return AskedVectors(dense, with_corrections(asked.terms, corrections, snapshot.terms)), corrections


class _SearchRound:
    """What a round of one search asks for, after what the rounds before have found.

    `current`: everything that the last round has found counts, and so does what stood for copies before it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.stale: set[Revision] = set()
        self.unwanted: ExcludedPassages | None = (
            NO_EXCLUSIONS  # None: what stood for copies has gone, so they are all looked at
        )
        self.current = False

    def settled(self, found: Sequence[FoundPassage], copies: DuplicateFilter, *, enough: bool) -> bool:
        """Whether another round could find nothing more that is wanted; otherwise it is prepared."""
        stale = {one.of for one in found if not one.counts}
        gone = self.unwanted is not None and not {one.id for one in found}.issuperset(self.unwanted.kept)
        self.current = not stale and not gone
        if not self.current:
            self.stale |= stale
            self.unwanted = None if gone else self.unwanted
        elif enough or len(found) < self.limit or self.limit == _MOST:
            return True
        elif not self._leave_out(copies.unwanted):
            self.limit = min(_MOST, _WIDER * self.limit)
        return False

    def _leave_out(self, more: ExcludedPassages) -> bool:
        """Whether there are copies that were not left out yet."""
        if self.unwanted is None or set(more.text_digests) <= set(self.unwanted.text_digests):
            return False
        digests = {*self.unwanted.text_digests, *more.text_digests}
        self.unwanted = ExcludedPassages(tuple(sorted(digests)), tuple(sorted({*self.unwanted.kept, *more.kept})))
        return True


def _chosen(found: Iterable[FoundPassage], query: SearchQuery, copies: DuplicateFilter) -> list[FoundPassage]:
    """The best that are wanted. Ranks tie often (first by meaning and second by words, and the reverse), and the engine
    breaks ties by chance: here they are broken the same way each time."""
    now = time.time()
    of_document: Counter[DocumentKey] = Counter()
    chosen: list[FoundPassage] = []
    for one in sorted(found, key=lambda one: (-one.score, one.of.key.id, one.of.key.tenant, one.n)):
        if one.score < query.min_score or not _valid(one, now):
            continue
        if query.max_per_document and of_document[one.of.key] == query.max_per_document:
            continue
        if not query.collapse or copies.add(one):
            of_document[one.of.key] += 1
            chosen.append(one)
    return chosen[: query.top_k]


def _valid(one: FoundPassage, now: float) -> bool:
    begun = one.valid_from is None or one.valid_from <= now
    return begun and (one.valid_until is None or now < one.valid_until)


def passage_of(one: FoundPassage) -> Passage:
    """What is found, as a search returns it."""
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
        place=one.place,
    )
