"""The tests of a guardrail: an anytime-valid one-sided comparison of two arms, from per-unit sums alone.

Each request gives a number in [0, 1], higher is worse. Per arm, M units contribute n_u numbers that sum to y_u. The
arm's rate is R = sum(y_u) / sum(n_u), a ratio of sums over units, because requests of one unit depend on each other.
Its variance is linearised (Taylor): V = sum((y_u - R n_u)^2) / sum(n_u)^2 * M / (M - 1).

The boundary is Robbins' normal mixture as an asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", arXiv 2103.06476), one-sided: z may
be looked at after every request, and crosses with a probability of about alpha at most, ever, if there is no harm.

All fields are float64 arrays of one shape (of no dimension for a single guardrail), so that a simulation judges
thousands of looks with the code that judges one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FIRST_REQUESTS = 20
"""How many requests of a unit count in a step: more would let one busy unit dominate the variance's estimate."""

ROLLBACK_UNITS = 30
"""In each arm before a rollback: below this the normal approximation promises nothing."""

PROMOTION_UNITS = 50
"""In each arm before a candidate may be called no worse."""

_ROUNDING = 1e-12
"""Points of a number in [0, 1]. Sums of equal numbers leave less than this between two arms, and no variance at all."""

_TUNED_AT = 100.0  # effective units at which the boundary is tightest


@dataclass(frozen=True, slots=True)
class ArmSums:
    """What an arm's units add up to. u runs over units, n_u and y_u are a unit's count and sum of numbers."""

    units: Numbers
    n: Numbers
    y: Numbers
    nn: Numbers
    ny: Numbers
    yy: Numbers

    @classmethod
    def of(cls, counts: Numbers, sums: Numbers) -> ArmSums:
        """The sums over units with these `counts` (at least 1 each) and `sums`, both of shape (units,)."""
        parts = (float(len(counts)), counts.sum(), sums.sum(), counts @ counts, counts @ sums, sums @ sums)
        return cls(*(np.asarray(part, dtype=np.float64) for part in parts))

    def values(self) -> tuple[float, float, float, float, float, float]:
        """units, n, y, nn, ny, yy as plain numbers. Raises TypeError for more than one set of sums."""
        return (float(self.units), float(self.n), float(self.y), float(self.nn), float(self.ny), float(self.yy))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test's result. `estimate` is R1 - rho R0 - delta, in points of the number; `standard_error` its own.

    `crossed`: the boundary is crossed and both arms have the units that the test asks for.
    """

    estimate: Numbers
    standard_error: Numbers
    z: Numbers
    boundary: Numbers
    crossed: NDArray[np.bool_]


def rate_and_variance(sums: ArmSums) -> tuple[Numbers, Numbers]:
    """R and V; NaN where fewer than 2 units make a variance unknown, or no request a rate."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(sums.n > 0, sums.y / sums.n, np.nan)
        squares = np.maximum(sums.yy - 2 * rate * sums.ny + rate**2 * sums.nn, 0.0)
        variance = np.where(sums.units > 1, squares / sums.n**2 * sums.units / (sums.units - 1), np.nan)
    return rate, variance


def boundary(effective_units: Numbers, alpha: float) -> Numbers:
    """What z has to exceed at m = M0 M1 / (M0 + M1) `effective_units`. Infinite without any.

    Raises ValueError unless 0 < alpha < 0.5.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}, expected a number above 0 and below 0.5")
    double = -2 * np.log(2 * alpha)
    x = effective_units * ((double + np.log1p(double)) / _TUNED_AT)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.sqrt(2 * (1 + 1 / x) * np.log1p(np.sqrt(1 + x) / (2 * alpha)))
    return np.where(x > 0, found, np.inf)


def rollback_test(
    stable: ArmSums, candidate: ArmSums, *, tolerance: float, ratio: float = 1.0, alpha: float
) -> Comparison:
    """Whether the candidate's rate is above `ratio` times stable's plus `tolerance` (points of the number)."""
    rate0, variance0 = rate_and_variance(stable)
    rate1, variance1 = rate_and_variance(candidate)
    found = _compare(
        rate1 - ratio * rate0 - tolerance,
        variance1 + ratio**2 * variance0,
        _effective_units(stable, candidate),
        alpha,
    )
    enough = (stable.units >= ROLLBACK_UNITS) & (candidate.units >= ROLLBACK_UNITS)
    return _crossed(found, enough & (found.z > found.boundary))


def promotion_test(
    stable: ArmSums, candidate: ArmSums, *, margin: float, ratio: float, binary: bool, alpha: float
) -> Comparison:
    """Whether the candidate's rate is below `ratio` times stable's plus `margin`: non-inferiority, z < -boundary.

    Zero or few events would make the candidate's variance nearly 0 and prove anything. So it is at least what stable's
    would be at the margin (its design effect on the candidate's counts), and for 0/1 numbers at least binomial.
    """
    rate0, variance0 = rate_and_variance(stable)
    rate1, variance1 = rate_and_variance(candidate)
    variance1 = np.maximum(variance1, _variance_at_margin(stable, candidate, ratio * rate0 + margin, binary))
    found = _compare(
        rate1 - ratio * rate0 - margin,
        variance1 + ratio**2 * variance0,
        _effective_units(stable, candidate),
        alpha,
    )
    enough = (stable.units >= PROMOTION_UNITS) & (candidate.units >= PROMOTION_UNITS)
    return _crossed(found, enough & (found.z < -found.boundary))


def limit_test(candidate: ArmSums, *, limit: float, alpha: float) -> Comparison:
    """Whether the candidate's rate is above a fixed `limit`: for numbers in [-1, 1] that each pair of answers gives."""
    rate, variance = rate_and_variance(candidate)
    found = _compare(rate - limit, variance, candidate.units, alpha)
    return _crossed(found, (candidate.units >= ROLLBACK_UNITS) & (found.z > found.boundary))


def _variance_at_margin(stable: ArmSums, candidate: ArmSums, at: Numbers, binary: bool) -> Numbers:
    rate0, variance0 = rate_and_variance(stable)
    spread = np.clip(at * (1 - at), 0.0, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        concentration = (candidate.nn / candidate.n**2) / (stable.nn / stable.n**2)
        scaled = variance0 * concentration * spread / (rate0 * (1 - rate0))
        binomial = spread / candidate.n
    floor = np.where((rate0 > 0) & (rate0 < 1), scaled, 0.0)
    return np.maximum(floor, binomial) if binary else floor


def _effective_units(stable: ArmSums, candidate: ArmSums) -> Numbers:
    both = stable.units + candidate.units
    return np.where(both > 0, stable.units * candidate.units / np.maximum(both, 1.0), 0.0)


def _compare(difference: Numbers, variance: Numbers, effective_units: Numbers, alpha: float) -> Comparison:
    """z is infinite for a difference without any variance (all fail, none fails), 0 for one that is only rounding."""
    error = np.sqrt(variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(np.abs(difference) < _ROUNDING, 0.0, difference / error)
    nothing = np.zeros(np.shape(z), dtype=np.bool_)
    return Comparison(difference, error, z, boundary(effective_units, alpha), nothing)


def _crossed(found: Comparison, crossed: NDArray[np.bool_]) -> Comparison:
    return Comparison(found.estimate, found.standard_error, found.z, found.boundary, np.asarray(crossed))
