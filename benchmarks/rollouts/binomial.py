"""Exact one-sided bounds of a share of runs (Clopper and Pearson)."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log


def upper(happened: int, runs: int, confidence: float = 0.95) -> float:
    """The highest share under which so few would still happen with a probability of 1 - confidence."""
    if happened == runs:
        return 1.0
    return _bisect(lambda share: _at_most(happened, runs, share) > 1 - confidence)


def lower(happened: int, runs: int, confidence: float = 0.95) -> float:
    """The lowest share under which so many would still happen with a probability of 1 - confidence."""
    return 1 - upper(runs - happened, runs, confidence)


def _at_most(happened: int, runs: int, share: float) -> float:
    return sum(
        exp(lgamma(runs + 1) - lgamma(k + 1) - lgamma(runs - k + 1) + k * log(share) + (runs - k) * log(1 - share))
        for k in range(happened + 1)
    )


def _bisect(below: Callable[[float], bool]) -> float:
    low, high = 1e-12, 1 - 1e-12
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return high
