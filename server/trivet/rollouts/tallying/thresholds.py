"""Limits of time and cost, taken from earlier stable requests so that no request decides its own limit.

Stable's requests are cut into blocks; a block's quantiles are the limits while the next one fills. Both arms are
measured against the same limits at the same time, so a drift that is common to them cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_REQUESTS = 500
LATENCY_QUANTILE = 0.95
COST_QUANTILE = 0.995


@dataclass(frozen=True, slots=True)
class Thresholds:
    """In force for a request; None until stable has filled a block, and then the guardrail gets no number."""

    ttft_ms: float | None = None
    total_ms: float | None = None
    cost_nano_usd: float | None = None


def quantile(values: Sequence[float], q: float) -> float:
    """The least value that at least a share `q` of `values` does not exceed. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values, expected at least one")
    return sorted(values)[max(math.ceil(q * len(values)) - 1, 0)]


class StableBlocks:
    """Stable's requests as they finish; `thresholds` are those of the last full block of each kind."""

    def __init__(self, thresholds: Thresholds | None = None, size: int = BLOCK_REQUESTS) -> None:
        """`thresholds`: from stable's requests before the step began, if there were enough."""
        if size < 1:
            raise ValueError(f"a block of {size} requests, expected at least 1")
        self._size = size
        self._ttft: list[float] = []
        self._total: list[float] = []
        self._cost: list[float] = []
        self._now = thresholds or Thresholds()

    @property
    def thresholds(self) -> Thresholds:
        """What to measure the next request against."""
        return self._now

    def add(self, ttft_ms: float | None, total_ms: float | None, cost_nano_usd: float | None) -> None:
        """A stable request that counts; infinite times for one that timed out, None for what is unknown."""
        now = self._now
        self._now = Thresholds(
            self._filled(self._ttft, ttft_ms, LATENCY_QUANTILE, now.ttft_ms),
            self._filled(self._total, total_ms, LATENCY_QUANTILE, now.total_ms),
            self._filled(self._cost, cost_nano_usd, COST_QUANTILE, now.cost_nano_usd),
        )

    def _filled(self, block: list[float], value: float | None, q: float, before: float | None) -> float | None:
        if value is None:
            return before
        block.append(value)
        if len(block) < self._size:
            return before
        found = quantile(block, q)
        block.clear()
        return found
