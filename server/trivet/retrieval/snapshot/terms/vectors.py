"""BM25 term vectors, computed here so that every engine gets the same ones.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009). The vector holds the term
frequency part; the engine multiplies the inverse document frequency in at query time (`modifier=IDF`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qdrant_edge import Bm25, Bm25Config, DisabledStemmer, StopwordsSet

from trivet.retrieval.snapshot.terms.languages import WordRules, rules_of
from trivet.retrieval.snapshot.terms.names import names, number
from trivet.retrieval.snapshot.terms.scripts import one_spelling, pairs, without_marks, without_runs
from trivet.stores.records import SparseVector

_WORDS_PER_TOKEN = 0.6  # after stop words; only sets how strongly long passages are held back
_SATURATION, _LENGTH = 1.2, 0.75  # BM25's k1 and b, as the engine's own words have them
_WORD = re.compile(r"\w+")
_PARTICLES = "\u05d5\u05d4\u05d1\u05dc\u05de\u05db\u05e9"
_LONG_ENOUGH = 4  # letters of a word that may begin with one
_LESS = 0.5  # of an occurrence
# Letters of a word's beginnings, and what the longer one and the whole word count: by measuring
# (`benchmarks/languages`).
_SHORT, _LONGER = 4, 6
_LONGER_COUNTS, _WHOLE_COUNTS = 0.5, 0.3
_COMPOUND, _PART, _OF_A_PART = 9, 5, 0.2  # letters of a long word, of its parts, and what one of them counts


class TermVectors:
    """Term vectors of passages and queries in one language."""

    def __init__(self, language: str, chunk_tokens: int) -> None:
        """Raises ValueError for a language that is not known."""
        self._average = chunk_tokens * _WORDS_PER_TOKEN
        self._rules = rules_of(language)
        self._model = Bm25(_config(self._rules, self._average))

    def spelt(self, text: str) -> str:
        """A text in small letters, without runs of scripts that put no blanks between words."""
        return without_runs(one_spelling(text, umlauts=self._rules.umlauts).lower())

    def words(self, text: str) -> Iterator[str]:
        """The words of a text that have letters alone, as the terms see them before they are stemmed."""
        return (word for found in _WORD.findall(self.spelt(text)) for word in found.split("_") if word.isalpha())

    def of_passage(self, text: str) -> SparseVector:
        """Weights by frequency, saturated, and length."""
        spelt = one_spelling(text, umlauts=self._rules.umlauts)
        words = without_runs(spelt)
        indices, values = self._of_engine(words, self._model.embed_document)
        more = self._more(text, spelt, words)
        length = len(words.split()) + sum(map(len, pairs(spelt))) // 2
        held_back = _SATURATION * (1 - _LENGTH + _LENGTH * length / self._average)
        weights = {number(name): times * (_SATURATION + 1) / (times + held_back) for name, times in more.items()}
        return _together(indices, values, weights)

    def of_query(self, text: str) -> SparseVector:
        """Each term once; none at all if there are only stop words."""
        spelt = one_spelling(text, umlauts=self._rules.umlauts)
        words = without_runs(spelt)
        indices, values = self._of_engine(words, self._model.embed_query)
        weights = {number(name): min(1.0, times) for name, times in self._more(text, spelt, words).items()}
        return _together(indices, values, weights)

    def _of_engine(self, words: str, embed: Callable[[str], Any]) -> tuple[Sequence[int], Sequence[float]]:
        """The engine's words; none where words are their beginnings."""
        if self._rules.beginnings:
            return (), ()
        vector = embed(words)
        return vector.indices, vector.values

    def _more(self, text: str, spelt: str, words: str) -> Mapping[str, float]:
        """Terms beside the engine's words, and how often each occurs."""
        found: defaultdict[str, float] = defaultdict(float, names(text))
        for pair in pairs(spelt):
            found[f"\0pair {pair}"] += 1  # no name begins so
        for word in _WORD.findall(words.casefold()) if self._rules.beginnings else ():
            plain = without_marks(word)
            _count_beginnings(plain, 1, found)
            if self._rules.particles and len(plain) >= _LONG_ENOUGH and plain[0] in _PARTICLES:
                _count_beginnings(plain[1:], _LESS, found)
        if self._rules.compounds:
            for word in _WORD.findall(words.lower()):
                for at in range(len(word) - _PART + 1) if len(word) >= _COMPOUND else ():
                    found[f"\0part {word[at : at + _PART]}"] += _OF_A_PART
        return found


def _count_beginnings(word: str, times: float, found: dict[str, float]) -> None:
    """A word by its beginnings: endings differ, and names that begin alike still do."""
    found[f"\0begins {word[:_SHORT]}"] += times
    if len(word) > _SHORT:
        found[f"\0begins {word[:_LONGER]}"] += _LONGER_COUNTS * times
    if len(word) > _LONGER:
        found[f"\0word {word}"] += _WHOLE_COUNTS * times


def _config(rules: WordRules, average: float) -> Bm25Config:
    if rules.stemmer is not None:
        return Bm25Config(language=rules.stemmer, avg_len=average, k=_SATURATION, b=_LENGTH)
    return Bm25Config(
        avg_len=average,
        k=_SATURATION,
        b=_LENGTH,
        stopwords=StopwordsSet(languages=set(), custom=set()),
        stemmer=DisabledStemmer(),
    )


def _together(words: Sequence[int], values: Sequence[float], more: Mapping[int, float]) -> SparseVector:
    """One vector. A number occurs once in it: a name's may, once in a billion, be a word's."""
    weights = dict(zip(words, values, strict=True))
    for index, weight in more.items():
        weights[index] = max(weight, weights.get(index, 0.0))
    return SparseVector(list(weights), list(weights.values()))
