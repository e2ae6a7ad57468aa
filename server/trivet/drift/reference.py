"""What questions were like in a time that others are compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
GROUPS, COMPONENTS = 16, 8
CONTINUOUS = COMPONENTS + 1  # and the distance to the nearest group
SCORES = CONTINUOUS + GROUPS
_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """Learnt from some questions: their `mean` (d,), the `components` (COMPONENTS, d) in which they differ most, the
    middles of their `groups` (GROUPS, d).

    A question's scores: its place on each component, its distance to the nearest group, and for each group whether it
    belongs to it. So another topic shows in the distance, another mix of topics in the groups, and a slow shift of all
    questions in the components.
    """

    mean: Floats
    components: Floats
    groups: Floats

    @classmethod
    def of(cls, vectors: Vectors, seed: int = 0) -> Shape:
        """Learn it from (n, d), n at least GROUPS."""
        given = vectors.astype(np.float64)
        mean = given.mean(axis=0)
        _, _, components = np.linalg.svd(given - mean, full_matrices=False)
        found = np.zeros((COMPONENTS, given.shape[1]))
        found[: min(COMPONENTS, len(components))] = components[:COMPONENTS]
        return cls(mean, found, k_means(given, GROUPS, seed))

    def scores(self, vectors: Vectors) -> tuple[Floats, NDArray[np.int64]]:
        """Of (n, d): the continuous scores (n, CONTINUOUS), and the group of each (n,)."""
        given = vectors.astype(np.float64)
        distances = squared_distances(given, self.groups)
        placed = (given - self.mean) @ self.components.T
        return np.concatenate([placed, distances.min(axis=1)[:, None]], axis=1), distances.argmin(axis=1)


def squared_distances(vectors: Floats, middles: Floats) -> Floats:
    """(n, d) and (k, d) to (n, k)."""
    lengths = (vectors**2).sum(axis=1)[:, None] + (middles**2).sum(axis=1)
    distances: Floats = np.maximum(lengths - 2 * vectors @ middles.T, 0.0)
    return distances


def k_means(vectors: Floats, groups: int, seed: int = 0) -> Floats:
    """Middles of at most so many groups (groups, d), by Lloyd's rounds from k-means++ (Arthur, 2007)."""
    random = np.random.default_rng(seed)
    middles: Floats = vectors[random.integers(len(vectors))][None, :]
    while len(middles) < groups:
        nearest = squared_distances(vectors, middles).min(axis=1)
        total = nearest.sum()
        chances = nearest / total if total > 0 else np.full(len(vectors), 1 / len(vectors))
        middles = np.concatenate([middles, vectors[random.choice(len(vectors), p=chances)][None, :]])
    for _ in range(_ROUNDS):
        group = squared_distances(vectors, middles).argmin(axis=1)
        moved = np.array(
            [vectors[group == k].mean(axis=0) if (group == k).any() else middles[k] for k in range(groups)]
        )
        if np.allclose(moved, middles):
            break
        middles = moved
    return middles
