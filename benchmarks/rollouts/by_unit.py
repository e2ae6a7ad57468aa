"""Running sums within units, over requests in time order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivet.rollouts.statistics import FIRST_REQUESTS, Numbers


@dataclass(frozen=True)
class ByUnit:
    """Requests grouped by their unit; those of one unit stay in the order of time."""

    order: NDArray[np.int64]
    start: NDArray[np.int64]

    @classmethod
    def of(cls, unit: NDArray[np.int64]) -> ByUnit:
        """`unit`: of each request, shape (requests,)."""
        order = np.argsort(unit, kind="stable")
        ordered = unit[order]
        begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        return cls(order, np.maximum.accumulate(np.where(begins, np.arange(len(unit)), 0)))

    def before(self, amounts: Numbers) -> Numbers:
        """The sum of `amounts` over earlier requests of the same unit, for each request."""
        ordered = amounts[self.order]
        running = np.cumsum(ordered) - ordered
        found = np.empty(len(amounts))
        found[self.order] = running - running[self.start]
        return found

    def first(self, counts: NDArray[np.bool_], most: int = FIRST_REQUESTS) -> NDArray[np.bool_]:
        """Which of the requests that count are among the first `most` of their unit that do."""
        kept: NDArray[np.bool_] = counts & (self.before(counts.astype(np.float64)) < most)
        return kept
