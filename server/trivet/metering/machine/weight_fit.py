"""What a prompt token weighs next to an output token, fitted to the times of an engine's steps.

    seconds of a step = fixed + a * prompt tokens computed in it + b * output tokens, the weight is a / b

by least squares over the latest steps. Steps far from the rest, such as those during which the machine did other work,
are left out: three times, those beyond three scaled median absolute deviations. The bounds are of 95%, by the delta
method.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KEPT = 4096  # steps
EVERY = 256  # steps from one fit to the next
LEAST = 128  # steps that computed prompts, and as many that did not
SURE = 0.25  # half of the bounds' width over the weight: what is less sure than that is no weight yet
FAR_OFF = 0.1  # of the weight: bounds are narrow where a busy machine's drift is not
_TRIMS = 3
_FAR = 3 * 1.4826
_SIGMAS = 1.96
_NOTHING = 1e-9  # seconds of a token: less is rounding


@dataclass(frozen=True, slots=True)
class FittedWeight:
    """`weight` of a prompt token, where an output token has 1, and between which bounds it is. `steps`: that it rests
    on. `seconds_each`: of an output token."""

    weight: float
    lower: float
    upper: float
    steps: int
    seconds_each: float

    def refutes(self, weight: float) -> bool:
        """Whether another weight is beyond the bounds, and far enough off to change what is charged."""
        return not self.lower <= weight <= self.upper and abs(weight - self.weight) > FAR_OFF * self.weight

    @property
    def sure(self) -> bool:
        """Whether it may be charged by."""
        return self.upper - self.lower <= 2 * SURE * self.weight


class WeightFit:
    """Takes one step after the other; `newest` is None until something is known."""

    def __init__(self) -> None:
        self.newest: FittedWeight | None = None
        self._steps: deque[tuple[int, int, float]] = deque(maxlen=KEPT)
        self._due = EVERY

    def add(self, prompt_tokens: int, output_tokens: int, seconds: float) -> bool:
        """Whether there is a new fit; that takes a millisecond, once in `EVERY` steps."""
        if seconds <= 0 or not math.isfinite(seconds) or prompt_tokens + output_tokens <= 0:
            return False
        self._steps.append((prompt_tokens, output_tokens, seconds))
        self._due -= 1
        if self._due > 0:
            return False
        self._due = EVERY
        found = fit(np.array(self._steps, dtype=np.float64))
        if found is None:
            return False
        self.newest = found
        return True


def fit(steps: NDArray[np.float64]) -> FittedWeight | None:
    """Rows of (prompt tokens, output tokens, seconds); None where they do not tell."""
    kept = steps
    for _ in range(_TRIMS):
        if not _enough(kept):
            return None
        away = np.abs(_residuals(kept, _coefficients(kept)))
        kept = kept[away <= max(1e-9, _FAR * float(np.median(away)))]
    return _fitted(kept) if _enough(kept) else None


def _enough(steps: NDArray[np.float64]) -> bool:
    """Both kinds of steps, and both numbers of tokens vary, or no line could be told from another."""
    prompts = int(np.count_nonzero(steps[:, 0]))
    if prompts < LEAST or len(steps) - prompts < LEAST:
        return False
    return bool(np.linalg.matrix_rank(_design(steps)) == 3)


def _design(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack((np.ones(len(steps)), steps[:, 0], steps[:, 1]))


def _coefficients(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.lstsq(_design(steps), steps[:, 2], rcond=None)[0], dtype=np.float64)


def _residuals(steps: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    return steps[:, 2] - _design(steps) @ coefficients


def _fitted(steps: NDArray[np.float64]) -> FittedWeight | None:
    found = _coefficients(steps)
    _, prompt, output = (float(value) for value in found)
    if min(prompt, output) <= _NOTHING:
        return None
    design, left = _design(steps), _residuals(steps, found)
    covariance = np.linalg.inv(design.T @ design) * float(left @ left) / (len(steps) - 3)
    weight = prompt / output
    relative = (
        float(covariance[1, 1]) / prompt**2
        + float(covariance[2, 2]) / output**2
        - 2 * float(covariance[1, 2]) / (prompt * output)
    )
    half = _SIGMAS * weight * math.sqrt(max(0.0, relative))
    return FittedWeight(weight, max(0.0, weight - half), weight + half, len(steps), output)
