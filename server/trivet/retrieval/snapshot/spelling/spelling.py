"""Did you mean: what of a question no passage has is searched for as its nearest words, too."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from trivet.retrieval.snapshot.spelling.vocabulary import LONGEST, SHORTEST, Vocabulary, WordCounts
from trivet.retrieval.snapshot.terms import TermVectors
from trivet.stores.qdrant.store import HALVES, QdrantStore
from trivet.stores.records import AskedVectors, SparseVector, Visibility
from trivet.types.passage import Correction

_log = logging.getLogger(__name__)

MOST_CORRECTED = 4  # words of a question
MOST_CANDIDATES = 3  # words that one is searched for as
_NOT_BEFORE = 60.0  # seconds between two readings of a collection
_SHARE = 20  # a reading may take one part in so many of the time
_PAGE = 500  # passages, in a thread
_WORD = re.compile(r"\w+")
_AROUND = "()[]{}<>\"'`,.;:!?*\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u2026\u00a1\u00bf"


class Spelling:
    """The vocabulary of one collection, read from it again and again while it changes. For one event loop."""

    def __init__(self, store: QdrantStore, collection: str, terms: TermVectors) -> None:
        self._store = store
        self._collection = collection
        self._terms = terms
        self._vocabulary: Vocabulary | None = None
        self._reading = asyncio.Lock()
        self._read_at: int | None = None
        self._not_before = 0.0

    def due(self, position: int | None) -> bool:
        """Whether it is to be read now. `position`: how far the collection has followed the document log, None where
        that is not known."""
        unchanged = self._vocabulary is not None and position is not None and position == self._read_at
        return not unchanged and time.monotonic() >= self._not_before

    async def read(self, position: int | None = None) -> None:
        """Learn the words of all passages. Raises RetrievalUnavailable."""
        async with self._reading:
            started = time.monotonic()
            try:
                await self._read()
                self._read_at = position
            finally:  # one that failed is not begun again at once: the engine is in trouble
                now = time.monotonic()
                self._not_before = now + max(_NOT_BEFORE, _SHARE * (now - started))

    async def ensure_read(self) -> None:
        """Read it now, if it was not read yet. Raises RetrievalUnavailable."""
        async with self._reading:
            if self._vocabulary is None:
                await self._read()

    async def _read(self) -> None:
        counts, page = WordCounts(), list[tuple[str, str]]()
        async for text in self._store.texts(self._collection):
            page.append(text)
            if len(page) == _PAGE:
                await asyncio.to_thread(self._count, page, counts)
                page = []
        self._vocabulary = await asyncio.to_thread(self._counted, page, counts)
        if counts.full:
            _log.warning("collection %s has more words than are kept to correct questions with", self._collection)

    async def corrections(self, asked: str, dense: Sequence[float], who: Visibility) -> tuple[Correction, ...]:
        """What of a question no passage that the tenant sees has, and what it is searched for as.

        None before the words were read. The engine is asked whether it has a word, as it is at the moment: a word that
        is there is never corrected, in whatever form it is there. Raises RetrievalUnavailable.
        """
        vocabulary = self._vocabulary
        if vocabulary is None:
            return ()
        unknown = list(islice(self._unknown_words(asked, vocabulary, who.tenant), MOST_CORRECTED))
        if not unknown:
            return ()
        tenants = Visibility(who.tenant, (), who.at)
        suggested = await asyncio.to_thread(_suggested, vocabulary, unknown, who.tenant)
        return tuple([one for one in suggested if not await self._is_there(one.word, dense, tenants)])

    def _unknown_words(self, asked: str, vocabulary: Vocabulary, tenant: str) -> Iterator[str]:
        """Words of letters alone that the vocabulary has not and that are no stop words, once each: whatever has digits
        or signs in it is a name that means itself."""
        tokens = (token.strip(_AROUND) for token in self._terms.spelt(asked).split())
        for word in dict.fromkeys(token for token in tokens if token.isalpha()):
            fits = SHORTEST <= len(word) <= LONGEST and not vocabulary.knows(word, tenant)
            if fits and self._terms.of_query(word).indices:
                yield word

    async def _is_there(self, word: str, dense: Sequence[float], who: Visibility) -> bool:
        asked = AskedVectors(dense, self._terms.of_query(word))
        found = await self._store.search(
            self._collection, [asked], who, limit=1, candidates=1, rrf_k=2, halves=HALVES[1:]
        )
        return bool(found)

    def _count(self, page: Iterable[tuple[str, str]], counts: WordCounts) -> None:
        for tenant, text in page:
            counts.add(tenant, self._terms.words(text))

    def _counted(self, page: Iterable[tuple[str, str]], counts: WordCounts) -> Vocabulary:
        self._count(page, counts)
        return counts.vocabulary()


def _suggested(vocabulary: Vocabulary, words: Sequence[str], tenant: str) -> list[Correction]:
    found = [Correction(word, vocabulary.nearest(word, tenant, MOST_CANDIDATES)) for word in words]
    return [one for one in found if one.instead]


def corrected(text: str, corrections: Sequence[Correction], terms: TermVectors) -> str:
    """The text with the most frequent of the nearest words in the place of each that was corrected."""
    instead = {one.word: one.instead[0] for one in corrections}
    return _WORD.sub(lambda found: instead.get(terms.spelt(found[0]), found[0]), text)


def with_corrections(terms: SparseVector, corrections: Sequence[Correction], vectors: TermVectors) -> SparseVector:
    """The terms of a question with those of its corrections; all candidates of a word count as much as one word."""
    weights = dict(zip(terms.indices, terms.values, strict=True))
    for correction in corrections:
        for word in correction.instead:
            more = vectors.of_query(word)
            for index, value in zip(more.indices, more.values, strict=True):
                weights[index] = max(weights.get(index, 0.0), value / len(correction.instead))
    return SparseVector(list(weights), list(weights.values()))
