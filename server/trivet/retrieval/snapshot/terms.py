"""The sparse half of the search: BM25 term vectors, computed here so that every engine gets the same ones.

Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009). The vector holds the term
frequency part; the engine multiplies the inverse document frequency in at query time (`modifier=IDF`).

The stemmer's words are letters and digits only, so `os.path.get_name` is four common ones, and `1023-55-A` the same
ones as `55-1023-A`. Names are terms of their own as well: whoever asks for one means it and nothing like it. They are

- what dots join, `os.path.join`, and what has an underscore, `get_name`; of the former also each part that has one;
- what dashes or slashes join, if there is a digit in it: part numbers, dates, versions, `CVE-2024-3094`. What stands
  between its slashes or dashes may be a name again, and counts half there: `1.2.3-rc1` is not `1.2.3`.

Words that dashes join, as in `state-of-the-art`, are words. Rules that give other terms for the same text are new ones:
`trivet.retrieval.settings` counts them.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from qdrant_edge import Bm25, Bm25Config

from trivet.stores.records import SparseVector

_WORDS_PER_TOKEN = 0.6  # after stop words; only sets how strongly long passages are held back
_SATURATION, _LENGTH = 1.2, 0.75  # BM25's k1 and b, as the engine's own words have them
_RUN = re.compile(r"[\w./-]+")
_JOINTS = re.compile(r"[/-]")
_DIGIT = re.compile(r"\d")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")  # as typesetting has them
_JOINED = re.compile(r"[/_-]")
_OF_A_CODE = 3
_EDGES = "._-/"
_LONGEST = 128  # characters of a name; what is longer is no name
_PART = 0.5  # of an occurrence: a name inside another one


class TermVectors:
    """Term vectors of passages and queries in one language."""

    def __init__(self, language: str, chunk_tokens: int) -> None:
        """Raises ValueError for a language that the stemmer does not know."""
        self._average = chunk_tokens * _WORDS_PER_TOKEN
        self._model = Bm25(Bm25Config(language=language, avg_len=self._average, k=_SATURATION, b=_LENGTH))

    def of_passage(self, text: str) -> SparseVector:
        """Weights by frequency, saturated, and length."""
        vector = self._model.embed_document(text)
        held_back = _SATURATION * (1 - _LENGTH + _LENGTH * len(text.split()) / self._average)
        weights = {
            _number(name): times * (_SATURATION + 1) / (times + held_back) for name, times in _names(text).items()
        }
        return _together(vector.indices, vector.values, weights)

    def of_query(self, text: str) -> SparseVector:
        """Each term once; none at all if there are only stop words."""
        vector = self._model.embed_query(text)
        weights = {_number(name): min(1.0, times) for name, times in _names(text).items()}
        return _together(vector.indices, vector.values, weights)


def codes(text: str) -> frozenset[str]:
    """The names in it that are little more than numbers: joined by more than dots, with three digits.

    So not `UTF-8`, nor `3.11.2`: of such, a question says more by its other words.
    """
    return frozenset(run for run in _runs(text) if _holds_number(run))


def _names(text: str) -> Mapping[str, float]:
    """The names in a text and how often they occur. In steps that grow with its length alone: a run is cut up at its
    joints, and nothing in it is looked at twice."""
    found: dict[str, float] = defaultdict(float)
    for run in _runs(text):
        whole = _is_code(run)
        if whole:
            found[run] += 1
        for part in run.split("/"):
            inner = part.strip(_EDGES)
            if inner != run and _is_code(inner):
                found[inner] += _PART if whole else 1
            for piece in inner.split("-"):
                _count_name(piece, _PART if whole else 1, found)
    return found


def _runs(text: str) -> Iterator[str]:
    """What blanks and other signs stand around, in lower case, without what it begins and ends with."""
    dashed = text if text.isascii() else text.translate(_DASHES)
    return (match.group().strip(_EDGES).lower() for match in _RUN.finditer(dashed))


def _holds_number(run: str) -> bool:
    return len(run) <= _LONGEST and _JOINED.search(run) is not None and len(_DIGIT.findall(run)) >= _OF_A_CODE


def _is_code(run: str) -> bool:
    return len(run) <= _LONGEST and _JOINTS.search(run) is not None and _DIGIT.search(run) is not None


def _count_name(piece: str, times: float, found: dict[str, float]) -> None:
    """Names of letters, digits, dots and underscores in a piece of a run."""
    for dotted in piece.split("..") if len(piece) > 1 else ():
        name = dotted.strip("_.")
        parts = [part.strip("_") for part in name.split(".")]
        for term in {name, *(part for part in parts if "_" in part)}:
            if len(term) <= _LONGEST and ("." in term or "_" in term):
                found[term] += times


def _number(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest())


def _together(words: Sequence[int], values: Sequence[float], names: Mapping[int, float]) -> SparseVector:
    """One vector. A number occurs once in it: a name's may, once in a billion, be a word's."""
    weights = dict(zip(words, values, strict=True))
    for number, weight in names.items():
        weights[number] = max(weight, weights.get(number, 0.0))
    return SparseVector(list(weights), list(weights.values()))
