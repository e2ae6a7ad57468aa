"""Bets against the claim that nothing has changed, on p-values that are uniform and independent if it is true.

A conformal test martingale (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2nd edition 2022, part
III): each p-value is bet on by several functions that integrate to 1, so that capital that begins with 1 stays a fair
game without a change, and by Ville's inequality reaches 1 / alpha with a probability of at most alpha, however long and
however often one looks. Capital moves between the functions at a small rate (the "simple jumper"), and a part of it is
held back and put in later, window by window, so that a change late in the day finds capital that has not been lost
before.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SLOPES = np.array([-1.8, -0.9, 0.0, 0.9, 1.8])  # of linear bets
POWER = 0.4  # of the bets on values near 0 and near 1
BETS = len(SLOPES) + 2
JUMP = 0.01
WINDOW = 50  # p-values between two portions of what is held back
_TINY = 1e-6


def bets(p_values: Floats) -> Floats:
    """What one unit put on each function becomes: (scores,) to (scores, BETS)."""
    p = np.clip(p_values, _TINY, 1 - _TINY)[:, None]
    linear = 1 + SLOPES * (p - 0.5)
    return np.concatenate([linear, POWER * p ** (POWER - 1), POWER * (1 - p) ** (POWER - 1)], axis=1)


class Martingale:
    """One game over several scores, each with a p-value a step; the capital is that of all of them together."""

    def __init__(self, scores: int) -> None:
        self.capital: Floats = np.zeros((scores, BETS))
        self.reserve = 1.0
        self.steps = 0

    def add(self, p_values: Floats) -> float:
        """Play one step with (scores,) p-values; the capital after it."""
        if self.steps % WINDOW == 0:
            self._put_in(self.steps // WINDOW + 1)
        self.steps += 1
        mixed = self.capital + JUMP * (self.capital.mean(axis=1, keepdims=True) - self.capital)
        self.capital = mixed * bets(p_values)
        return self.total

    @property
    def total(self) -> float:
        """The capital; 1 at the start."""
        return self.reserve + float(self.capital.sum())

    @property
    def leader(self) -> tuple[int, bool]:
        """The score that has won most, and whether small p-values (large scores) have won it."""
        score = int(self.capital.sum(axis=1).argmax())
        won = self.capital[score]
        small = won[: len(SLOPES)][SLOPES < 0].sum() + won[-2]
        return score, bool(small >= won.sum() / 2)

    def _put_in(self, window: int) -> None:
        """1/2, 1/6, 1/12, ...: together 1."""
        portion = 1 / (window * (window + 1))
        self.reserve -= portion
        self.capital += portion / self.capital.size
