"""The words of an index's passages, and which of them are nearest to a word that is not among them.

A word is compared with all of those of about its length at once: first by which letters they have, then, the few that
are left, by their distance. An index of deletions (SymSpell) answers faster, but has some thirty entries for each word
and takes seconds to make again; here only words that the index does not know pay anything, a few milliseconds each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

SHORTEST, LONGEST = 4, 24  # letters of a word
MOST_WORDS = 200_000  # of an index: about 250 bytes each
MOST_SHARED = 100_000  # of those, in documents that all tenants share
MOST_OF_TENANT = 25_000  # in one tenant's own
_LONG = 8  # letters of a word that may differ by two
_MOST_COMPARED = 4_000  # words, of those that have about the same letters
Found = tuple[int, int, str]  # distance, passages, word


class WordTable:
    """Words of 4 to 24 letters, with the number of passages that have each."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts
        self._words = list(counts)
        self._lengths = np.array([len(word) for word in self._words], dtype=np.intp)
        self._passages = np.array(list(counts.values()), dtype=np.int64)
        self._letters = np.array(self._words, dtype=f"<U{LONGEST}").view(np.uint32).reshape(-1, LONGEST)
        self._signatures = _signatures(self._letters)

    def __contains__(self, word: str) -> bool:
        return word in self._counts

    def __len__(self) -> int:
        return len(self._words)

    def nearest(self, word: str) -> list[Found]:
        """Those at the smallest distance, if that is within 1, and 2 for words of 8 letters or more; the most frequent
        first. Distance: letters added, left out, replaced, and neighbours that changed places."""
        most = 2 if len(word) >= _LONG else 1
        asked = np.array([word], dtype=f"<U{LONGEST}").view(np.uint32)
        # A replaced letter changes two bits of the signature at most.
        differing = np.bitwise_count(self._signatures ^ _signatures(asked.reshape(1, LONGEST))[0])
        alike = np.flatnonzero((differing <= 2 * most) & (np.abs(self._lengths - len(word)) <= most))
        if len(alike) > _MOST_COMPARED:
            alike = alike[np.argpartition(-self._passages[alike], _MOST_COMPARED)[:_MOST_COMPARED]]
        if not len(alike):
            return []
        distances = _distances(word, self._letters[alike], self._lengths[alike], len(word) + most)
        smallest = int(distances.min())
        if smallest > most:
            return []
        words = [self._words[n] for n in alike[distances == smallest]]
        return sorted(((smallest, self._counts[word], word) for word in words), key=_order)


class WordCounts:
    """Counts the passages that have each word: of shared documents, and of each tenant's own. Where there is no more
    room, words that are new are left out."""

    def __init__(self) -> None:
        self.full = False
        self._of: dict[str, dict[str, int]] = {}
        self._words = 0

    def add(self, tenant: str, words: Iterable[str]) -> None:
        """The words of one passage; those that are too short or too long are none."""
        counts = self._of.setdefault(tenant, {})
        most = MOST_OF_TENANT if tenant else MOST_SHARED
        for word in set(words):
            if not SHORTEST <= len(word) <= LONGEST:
                continue
            if word in counts:
                counts[word] += 1
            elif len(counts) < most and self._words < MOST_WORDS:
                counts[word] = 1
                self._words += 1
            else:
                self.full = True

    def vocabulary(self) -> Vocabulary:
        """What was counted."""
        return Vocabulary({tenant: WordTable(counts) for tenant, counts in self._of.items() if counts})


class Vocabulary:
    """The words of shared documents and of each tenant's own: nobody is told a word of another tenant's."""

    def __init__(self, tables: Mapping[str, WordTable]) -> None:
        self._tables = tables

    def knows(self, word: str, tenant: str) -> bool:
        """Whether a document that the tenant sees has it."""
        return any(word in table for table in self._seen_by(tenant))

    def nearest(self, word: str, tenant: str, most: int) -> tuple[str, ...]:
        """The nearest words of the documents that the tenant sees, at most so many, the most frequent first."""
        found = sorted((one for table in self._seen_by(tenant) for one in table.nearest(word)), key=_order)
        return tuple(dict.fromkeys(other for distance, _, other in found if distance == found[0][0]))[:most]

    def _seen_by(self, tenant: str) -> Sequence[WordTable]:
        return [self._tables[owner] for owner in dict.fromkeys(("", tenant)) if owner in self._tables]


def _order(found: Found) -> tuple[int, int, str]:
    distance, passages, word = found
    return distance, -passages, word


def _signatures(letters: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(n,): which letters each row has, as bits. Letters may share a bit; then more words are compared."""
    bits = np.where(letters > 0, np.left_shift(np.uint64(1), letters.astype(np.uint64) % np.uint64(64)), np.uint64(0))
    signatures: NDArray[np.uint64] = np.bitwise_or.reduce(bits, axis=1)
    return signatures


def _distances(word: str, letters: NDArray[np.uint32], lengths: NDArray[np.intp], width: int) -> NDArray[np.int16]:
    """(n,): the distances of a word from others of at most `width` letters, by optimal string alignment: Levenshtein's,
    where two neighbours that changed places count as one. A row of the table at a time, for all words at once."""
    width = min(width, LONGEST)
    columns = letters[:, :width].T
    places = np.arange(width + 1, dtype=np.int16)[:, None]
    before = np.repeat(places, len(letters), axis=1)
    earlier = before
    for row, letter in enumerate(map(ord, word), 1):
        cost = np.minimum(before[1:] + 1, before[:-1] + (columns != letter))
        if row > 1:
            swapped = (columns[1:] == ord(word[row - 2])) & (columns[:-1] == letter)
            cost[1:] = np.where(swapped, np.minimum(cost[1:], earlier[:-2] + 1), cost[1:])
        now = np.concatenate([np.full((1, len(letters)), row, dtype=np.int16), cost])
        earlier, before = before, np.minimum.accumulate(now - places, axis=0) + places
    found: NDArray[np.int16] = before[lengths, np.arange(len(letters))]
    return found
