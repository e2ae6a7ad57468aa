"""The sparse half of the search: BM25 term vectors, computed here so that every engine gets the same ones.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009). The vector holds the term
frequency part; the engine multiplies the inverse document frequency in at query time (`modifier=IDF`).

The stemmer's words are letters and digits only, so `os.path.get_name` is four common ones. Such a name is a term of its
own as well, and so is each part of it with an underscore: whoever asks for it means it and nothing like it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from qdrant_edge import Bm25, Bm25Config

from trivet.stores.records import Terms

_WORDS_PER_TOKEN = 0.6  # after stop words; only sets how strongly long passages are held back
_SATURATION, _LENGTH = 1.2, 0.75  # BM25's k1 and b, as the engine's own words have them
_NAME = re.compile(r"\w+(?:\.\w+)+|\w*_\w+")
_LONGEST = 128  # characters of a name; what is longer is no name


class TermVectors:
    """Term vectors of passages and queries in one language."""

    def __init__(self, language: str, chunk_tokens: int) -> None:
        """Raises ValueError for a language that the stemmer does not know."""
        self._average = chunk_tokens * _WORDS_PER_TOKEN
        self._model = Bm25(Bm25Config(language=language, avg_len=self._average, k=_SATURATION, b=_LENGTH))

    def of_passage(self, text: str) -> Terms:
        """Weights by frequency, saturated, and length."""
        vector = self._model.embed_document(text)
        held_back = _SATURATION * (1 - _LENGTH + _LENGTH * len(text.split()) / self._average)
        weights = {
            name: times * (_SATURATION + 1) / (times + held_back) for name, times in Counter(_names(text)).items()
        }
        return _together(vector.indices, vector.values, weights)

    def of_query(self, text: str) -> Terms:
        """Each term once; none at all if there are only stop words."""
        vector = self._model.embed_query(text)
        return _together(vector.indices, vector.values, dict.fromkeys(_names(text), 1.0))


def _names(text: str) -> Iterator[int]:
    """The numbers of the names in a text, as often as they occur."""
    for match in _NAME.finditer(text):
        name = match.group().strip("_.").lower()
        parts = name.split(".")
        for term in {name, *(part.strip("_") for part in parts if "_" in part.strip("_"))}:
            if len(term) <= _LONGEST and ("." in term or "_" in term):
                yield int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest())


def _together(words: Sequence[int], values: Sequence[float], names: Mapping[int, float]) -> Terms:
    """One vector. A number occurs once in it: a name's may, once in a billion, be a word's."""
    weights = dict(zip(words, values, strict=True))
    for number, weight in names.items():
        weights[number] = max(weight, weights.get(number, 0.0))
    return Terms(list(weights), list(weights.values()))
