"""Passages that say the same: one of them takes a place, the best.

The same text is recognised by its digest, whatever its letters' case, width and white space. Nearly the same is what
differs in punctuation and few words, in none with a digit, no operator, and nothing that the question has: what it asks
about may be just the difference.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from trivet.stores.records import ExcludedPassages, FoundPassage

_TOKEN = re.compile(r"\w+|[^\w\s]")
_PUNCTUATION = frozenset(".,;:!?'\"()[]…–—‘’“”«»*#_`|")  # of prose and its markup; an operator changes what is said
_MAY_DIFFER = 0.05  # of the tokens of both
_MOSTLY = 0.7  # of what blanks stand between, punctuation and all, is the same where few words differ
_LONGEST = 8192  # characters that are compared, and that a text may have to be compared at all
_MOST_COMPARED = 256  # pairs in one search; after that, or so many looked at, only the same text is the same
_MOST_LOOKED_AT = 4096


def text_digest(text: str) -> str:
    """Equal for the same text. 16 hex digits: by chance alike are two of some billions."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class DuplicateFilter:
    """Looks at the passages of one search, best first, and tells which only say again what was there before."""

    def __init__(self, question: str) -> None:
        self._asked = frozenset(token for token in _tokens(question) if len(token) > 1)  # not "a"
        self._compared = self._looked_at = 0
        self._firsts: list[FoundPassage] = []
        self._words: dict[int, frozenset[str]] = {}
        self._counts: dict[int, Counter[str]] = {}
        self.digests: dict[str, FoundPassage] = {}  # of the texts that are there, and what stands for each
        self.repeated: set[str] = set()  # of the texts of copies

    def add(self, one: FoundPassage) -> bool:
        """Take the next one in; False if it is a copy."""
        digest = one.text_digest or text_digest(one.text)  # passages of an earlier version have none
        first = self.digests.get(digest) or self._original(one)
        self.digests.setdefault(digest, first or one)
        if first is not None:
            self.repeated.add(digest)
            return False
        self._firsts.append(one)
        return True

    def _original(self, one: FoundPassage) -> FoundPassage | None:
        """What it is nearly the same as."""
        looked_at = self._firsts[: _MOST_LOOKED_AT - self._looked_at]
        self._looked_at += len(looked_at)
        return next((other for other in looked_at if self._near(one, other)), None)

    def _near(self, one: FoundPassage, other: FoundPassage) -> bool:
        shorter, longer = sorted((len(one.text), len(other.text)))
        if longer > _LONGEST or longer - shorter > 2 * _MAY_DIFFER * longer or not self._alike(one, other):
            return False
        if self._compared == _MOST_COMPARED:
            return False
        self._compared += 1
        mine, theirs = self._counted(one), self._counted(other)
        different = (mine - theirs) + (theirs - mine)
        few = different.total() <= _MAY_DIFFER * (mine.total() + theirs.total())
        return few and all(self._means_nothing(token) for token in different)

    def _alike(self, one: FoundPassage, other: FoundPassage) -> bool:
        """Whether a comparison is worth its while: it takes ten times as long as this."""
        mine, theirs = self._split(one), self._split(other)
        return len(mine & theirs) >= _MOSTLY * max(len(mine), len(theirs))

    def _split(self, one: FoundPassage) -> frozenset[str]:
        if id(one) not in self._words:
            self._words[id(one)] = frozenset(one.text.casefold().split())
        return self._words[id(one)]

    def _counted(self, one: FoundPassage) -> Counter[str]:
        if id(one) not in self._counts:
            self._counts[id(one)] = Counter(_tokens(one.text))
        return self._counts[id(one)]

    @property
    def unwanted(self) -> ExcludedPassages:
        """What a further search need not find again."""
        kept = {self.digests[digest].id for digest in self.repeated}
        return ExcludedPassages(tuple(sorted(self.repeated)), tuple(sorted(kept)))

    def _means_nothing(self, token: str) -> bool:
        return token.isalpha() and token not in self._asked


def _tokens(text: str) -> Iterator[str]:
    """Words, and signs that are no punctuation."""
    folded = unicodedata.normalize("NFKC", text[:_LONGEST]).casefold()
    return (token for token in _TOKEN.findall(folded) if token not in _PUNCTUATION)
