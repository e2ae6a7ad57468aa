"""One route's questions: first they are collected as a reference, then each next one is held against them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass

import numpy as np

from trivet.drift.martingale import Floats, Martingale
from trivet.drift.reference import CONTINUOUS, GROUPS, SCORES, Shape, Vectors, k_means, squared_distances

ALPHA = 0.05  # chance of an alarm without a change, of one reference
RECENT = 300  # questions among which examples are looked for
MOST_SEEN = 20_000  # questions by one reference; then a new one is collected
_NEW_GROUPS, _EXAMPLES = 4, 5
_UNUSUAL = 0.1


@dataclass(frozen=True, slots=True)
class _Recent:
    """A question, its ranks, and the evidence after it."""

    request: str
    vector: Floats
    p_values: Floats
    evidence: float


@dataclass(frozen=True, slots=True)
class NewTopic:
    """Some of the questions that are unusual by the reference. `share`: of those since the change; `requests`: ids of
    those nearest to their middle."""

    share: float
    requests: tuple[str, ...]


class Detector:
    """Of one reference. `evidence` is the capital of a game that is fair without a change: at 1 / ALPHA it is an alarm.

    The first half of the reference says what scores there are, the second what they are usually like; so reference and
    questions are alike to the test if nothing has changed, and each question's ranks among all before it are p-values.
    """

    def __init__(self, shape: Shape, seed: int | None = None) -> None:
        """`seed`: of the chances that break ties."""
        self._random = np.random.default_rng(seed)
        self.shape = shape
        self.martingale = Martingale(SCORES)
        self.seen = [array("d") for _ in range(CONTINUOUS)]
        self.in_group = np.zeros(GROUPS)
        self._recent: deque[_Recent] = deque(maxlen=RECENT)

    @classmethod
    def of(cls, reference: Vectors, seed: int | None = None) -> Detector:
        """`reference`: (n, d), n at least 2 * GROUPS."""
        order = np.random.default_rng(seed).permutation(len(reference))
        half = len(order) // 2
        detector = cls(Shape.of(reference[order[:half]]), seed)
        for place, group in zip(*detector.shape.scores(reference[order[half:]]), strict=True):
            detector._see(place, int(group))
        return detector

    @property
    def evidence(self) -> float:
        """Against "nothing has changed"; 1 says nothing."""
        return self.martingale.total

    @property
    def alarmed(self) -> bool:
        """Whether it is enough."""
        return self.evidence >= 1 / ALPHA

    @property
    def full(self) -> bool:
        """Whether it has seen as many as it may."""
        return len(self.seen[0]) >= MOST_SEEN

    def add(self, vectors: Vectors, requests: list[str]) -> int:
        """Look at some questions (n, d), until the first that makes an alarm; how many were looked at."""
        places, groups = self.shape.scores(vectors)
        for number, (place, group) in enumerate(zip(places, groups, strict=True)):
            p_values = self._p_values(place, int(group))
            self._see(place, int(group))
            evidence = self.martingale.add(p_values)
            self._recent.append(_Recent(requests[number], vectors[number].astype(np.float64), p_values, evidence))
            if self.alarmed or self.full:
                return number + 1
        return len(vectors)

    def new_topics(self) -> tuple[NewTopic, ...]:
        """What is unusual in the way that has won most, in groups, the largest first: among the recent questions since
        the evidence was least, which is where the change probably is."""
        score, large = self.martingale.leader
        lowest = min(range(len(self._recent)), key=lambda place: self._recent[place].evidence, default=0)
        since = list(self._recent)[lowest:]
        unusual = [one for one in since if (one.p_values[score] if large else 1 - one.p_values[score]) <= _UNUSUAL]
        if not unusual:
            return ()
        vectors = np.stack([one.vector for one in unusual])
        middles = k_means(vectors, min(_NEW_GROUPS, len(unusual)))
        distances = squared_distances(vectors, middles)
        group = distances.argmin(axis=1)
        found = []
        for k in range(len(middles)):
            members = np.flatnonzero(group == k)
            if len(members):
                nearest = members[distances[members, k].argsort()][:_EXAMPLES]
                requests = tuple(unusual[place].request for place in nearest)
                found.append(NewTopic(len(members) / len(since), requests))
        return tuple(sorted(found, key=lambda topic: -topic.share))

    def _p_values(self, place: Floats, group: int) -> Floats:
        """The share of what was seen, itself included, that has larger scores; ties are broken by chance."""
        found, n = np.empty(SCORES), len(self.seen[0]) + 1
        chance = self._random.random(SCORES)
        for k, value in enumerate(place):
            seen = self.seen[k]
            right = bisect_right(seen, value)
            equal = right - bisect_left(seen, value) + 1
            found[k] = (n - 1 - right + chance[k] * equal) / n
        belongs = np.arange(GROUPS) == group
        larger = np.where(belongs, 0.0, self.in_group)
        equal_ = np.where(belongs, self.in_group, n - 1 - self.in_group) + 1
        found[CONTINUOUS:] = (larger + chance[CONTINUOUS:] * equal_) / n
        return found

    def _see(self, place: Floats, group: int) -> None:
        for seen, value in zip(self.seen, place, strict=True):
            insort(seen, float(value))
        self.in_group[group] += 1
