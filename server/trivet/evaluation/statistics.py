"""Intervals and tests for paired scores. Pure numpy; nothing here knows what was measured.

Intervals of scores, costs and differences are percentile intervals of one joint bootstrap over examples (Efron and
Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13): each draw takes the same examples for every arm, so
differences are paired. Shares that stand alone get Wilson's interval (1927), which keeps its rate near 0 and 1.
McNemar's test is the exact binomial one, two-sided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 10_000
LEVEL = 0.95
_ROWS_AT_ONCE = 1024  # of a bootstrap: bounds its memory to a few MB per column


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends, in the unit of what was estimated."""

    low: float
    high: float


class Bootstrap:
    """The draws that all statistics over the same `n` examples share.

    A statistic is a ratio of sums over examples: a mean is the sum of values over the number of those that count.
    """

    def __init__(self, n: int, *, draws: int = DRAWS, seed: int = 0) -> None:
        """`n` examples, at least one."""
        if n < 1:
            raise ValueError("a bootstrap needs at least one example")
        self.n = n
        rng = np.random.default_rng(seed)
        # How often each example is in each draw, (draws, n). Counts are small, so float32 holds them exactly.
        self._weights = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float32)

    def means(self, values: Floats) -> Floats:
        """The mean in each draw: (n, k) or (n,) to (draws, k) or (draws,). Nothing may be NaN."""
        return (self._weights @ values.astype(np.float32)).astype(np.float64) / self.n

    def ratios(self, numerators: Floats, denominators: Floats) -> Floats:
        """Sum of `numerators` over sum of `denominators` (both (n,)) in each draw; infinite or NaN where that is 0."""
        sums = np.stack([numerators, denominators], axis=1)
        drawn = np.concatenate(
            [rows.astype(np.float64) @ sums for rows in _chunks(self._weights)]
        )  # in double precision: costs may be of very different size
        with np.errstate(divide="ignore", invalid="ignore"):
            quotients: Floats = drawn[:, 0] / drawn[:, 1]
        return quotients


def _chunks(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    return [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]


def percentile_bounds(drawn: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Both ends for each column of (draws, k), or of (draws,)."""
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return low, high


def percentile_interval(drawn: Floats, level: float = LEVEL) -> Interval | None:
    """The middle `level` of the draws of one statistic; None if it could not be computed in some of them."""
    if not np.isfinite(drawn).all():
        return None
    low, high = percentile_bounds(drawn, level)
    return Interval(float(low), float(high))


def wilson(right: int, n: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share; `n` at least 1."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / n
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return Interval(max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0))


@lru_cache(maxsize=65536)
def mcnemar(gained: int, lost: int) -> float:
    """P-value of McNemar's exact test: `gained` and `lost` are the examples that only one of two arms has right."""
    n = gained + lost
    if n == 0:
        return 1.0
    logs = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * math.fsum(math.exp(log - n * math.log(2)) for log in logs))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (1979): keeps the rate of any false positive among all of them."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
