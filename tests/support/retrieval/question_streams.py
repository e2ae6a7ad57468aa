"""Questions' vectors of topics that can be chosen."""

from __future__ import annotations

import numpy as np

from trivet.drift.reference import Vectors

DIMENSION = 32


def questions(rng: np.random.Generator, n: int, shares: tuple[float, ...], spread: float = 0.6) -> Vectors:
    """(n, DIMENSION) of unit length, around as many directions as there are shares."""
    topic = rng.choice(len(shares), size=n, p=shares)
    middles = np.eye(len(shares), DIMENSION)
    made = middles[topic] + spread * rng.standard_normal((n, DIMENSION)) / np.sqrt(DIMENSION)
    vectors: Vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return vectors
