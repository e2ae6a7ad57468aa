"""The smoke rule at 1% and below: a betting process, which judges a candidate that has a handful of units.

Each unit brings X = (A / p - (1 - A) / (1 - p)) (Y - c) - tolerance: A says whether the unit went to the candidate, p
is the candidate's share, Y the mean of the unit's numbers, c the mean of earlier stable units. The assignment is drawn
independently of what the unit would have brought, so without harm the mean of X is at most 0, whatever else drifts.
Betting a fixed fraction of what X can lose at most, wealth is then a supermartingale from 1, which reaches 1 / alpha
with a probability of at most alpha, at any number of units (Ville). Several fractions are bet at once, and averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trivet.rollouts.statistics import Numbers

HIGHEST_SHARE = 0.01
"""Steps up to this share are judged by this rule, higher ones by the boundary."""

WINDOW_SECONDS = 300.0
"""A unit's number is the mean over its first requests within this time; it is bet on when the time has passed."""

_FRACTIONS = np.array([0.05, 0.15, 0.35, 0.7])
_PRIOR_MEAN, _PRIOR_UNITS = 0.5, 1.0  # of c, before there are earlier units


def log_wealth(means: Numbers, candidate: NDArray[np.bool_], *, share: float, tolerance: float) -> Numbers:
    """The natural logarithm of the wealth after each unit, shape (units,). Units in the order they were first seen.

    `means` in [0, 1] and `candidate` have one entry a unit that this step is the first of the rollout to see.
    Raises ValueError for a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"the candidate's share is {share}, expected a number between 0 and 1, both excluded")
    control = np.where(candidate, 0.0, means)
    stable = (~candidate).astype(np.float64)
    seen = np.cumsum(stable) - stable
    expected = (np.cumsum(control) - control + _PRIOR_MEAN * _PRIOR_UNITS) / (seen + _PRIOR_UNITS)
    gain = np.where(candidate, 1 / share, -1 / (1 - share)) * (means - expected) - tolerance
    most_lost = np.maximum(expected / share, (1 - expected) / (1 - share)) + tolerance
    bets = np.log1p(_FRACTIONS[:, None] * (gain / most_lost)[None, :]).cumsum(axis=1)
    highest = bets.max(axis=0) if bets.size else np.zeros(0)
    averaged: Numbers = highest + np.log(np.exp(bets - highest).mean(axis=0))
    return averaged


class BettingProcess:
    """The same, unit by unit: `highest` is the greatest log wealth so far, 0 before the first unit."""

    def __init__(self, share: float, tolerance: float) -> None:
        """Raises ValueError for a share that is not between 0 and 1."""
        if not 0 < share < 1:
            raise ValueError(f"the candidate's share is {share}, expected a number between 0 and 1, both excluded")
        self._share, self._tolerance = share, tolerance
        self._seen = self._control = 0.0
        self._bets = np.zeros(len(_FRACTIONS))
        self._highest: float | None = None

    @property
    def highest(self) -> float:
        """The natural logarithm of the greatest wealth that the process has reached."""
        return 0.0 if self._highest is None else self._highest

    def add(self, mean: float, *, candidate: bool) -> None:
        """The next unit, in the order they were first seen, with the mean of its numbers."""
        share = self._share
        expected = (self._control + _PRIOR_MEAN * _PRIOR_UNITS) / (self._seen + _PRIOR_UNITS)
        gain = (1 / share if candidate else -1 / (1 - share)) * (mean - expected) - self._tolerance
        most_lost = max(expected / share, (1 - expected) / (1 - share)) + self._tolerance
        self._bets += np.log1p(_FRACTIONS * (gain / most_lost))
        most = float(self._bets.max())
        wealth = most + float(np.log(np.exp(self._bets - most).mean()))
        self._highest = wealth if self._highest is None else max(self._highest, wealth)
        if not candidate:
            self._seen += 1
            self._control += mean
