"""Sums over an arm's units for one guardrail, kept while requests come in: one step a request, whatever came before.

Numbers are kept as whole multiples of 2**-53, so the sums are exact, and the same in whatever order they were made.
"""

from __future__ import annotations

import numpy as np

from trivet.rollouts.statistics import ArmSums

_ONE = 1 << 53


def scaled(number: float) -> int:
    """A number from 0 to 1 in multiples of 2**-53, the rest cut off."""
    return int(number * _ONE)


def unscaled(number: int) -> float:
    """The nearest float."""
    return number / _ONE


class RunningSums:
    """What units add up to. A unit's numbers are told as they change: from `n` that sum to `y` (scaled) to others."""

    def __init__(self) -> None:
        self._units = self._n = self._y = self._nn = self._ny = self._yy = 0

    def change(self, n: int, y: int, new_n: int, new_y: int) -> None:
        """A unit had `n` numbers that sum to `y`, and has `new_n` that sum to `new_y` now; without any it is none."""
        self._units += (new_n > 0) - (n > 0)
        self._n += new_n - n
        self._y += new_y - y
        self._nn += new_n * new_n - n * n
        self._ny += new_n * new_y - n * y
        self._yy += new_y * new_y - y * y

    def arm_sums(self) -> ArmSums:
        """The sums as the tests take them."""
        exact = (self._units, self._n, self._y / _ONE, self._nn, self._ny / _ONE, self._yy / (_ONE * _ONE))
        return ArmSums(*(np.asarray(one, dtype=np.float64) for one in exact))
