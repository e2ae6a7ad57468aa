"""The gate: whether a candidate may replace a baseline.

It passes a candidate that, on the same questions, is better by at least `margin` points *and* whose interval of the
difference lies above 0, if its adapter loses at most the stated margin on the general part. The margin is asked of the
estimate, not of the interval's low end: with n = 500 a demand for "low end above 2" would pass only half of the
candidates that are truly 5 points better and differ from the baseline on 11% of the questions. What protects against
luck is the interval (an equal candidate passes in at most 2.5% of cases); what the margin adds is that a proven but
tiny gain is not worth a change. docs/evaluation.md has the simulated rates.

On the general part it is the other way round: there the claim is that *nothing* was lost, so the interval's low end has
to stay above minus the margin (a test of non-inferiority): an evaluation that is too small to know does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trivet.errors import FailedPrecondition
from trivet.evaluation.report import Comparison, PartReport, Report
from trivet.evaluation.statistics import LEVEL, Floats
from trivet.evaluation.suite import general_arm

_ROUNDING = 1e-9  # a difference of exactly the margin counts as reaching it
_POWER, _GAIN = 0.9, 0.05  # what `examples_needed` is asked for: a true gain of 5 points found 9 times in 10


@dataclass(frozen=True, slots=True)
class Check:
    """One condition, and what was found."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`advice` says what would help where the evaluation is too small to tell; empty otherwise."""

    candidate: str
    baseline: str
    margin: float
    checks: tuple[Check, ...]
    advice: str

    @property
    def passed(self) -> bool:
        """All conditions hold."""
        return all(check.passed for check in self.checks)


def beats(difference: Floats | float, low: Floats | float, margin: float) -> NDArray[np.bool_]:
    """Whether a difference (a share), whose interval begins at `low`, is a gain of `margin` points. Elementwise."""
    reached = np.asarray(difference) >= margin / 100 - _ROUNDING
    return np.asarray(reached & (np.asarray(low) > _ROUNDING))


def holds(low: Floats | float, margin: float) -> NDArray[np.bool_]:
    """Whether a difference whose interval begins at `low` is shown to lose less than `margin` points. Elementwise."""
    return np.asarray(np.asarray(low) > -margin / 100 + _ROUNDING)


def examples_needed(discordant: float) -> int:
    """How many examples find a true gain of 5 points 9 times in 10, if this share of pairs differs.

    The usual formula for a paired difference: ((z_level + z_power) / gain)^2 times its variance.
    """
    normal = NormalDist()
    z = normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(_POWER)
    return int(np.ceil((z / _GAIN) ** 2 * max(discordant - _GAIN**2, 0.0)))


def judge(report: Report, candidate: str, margin: float, weights: Mapping[str, str | None]) -> Verdict:
    """Judge `candidate` against the report's baseline. `weights`: each arm's `Arm.weights`.

    Raises FailedPrecondition if there is nothing to compare: an arm that is not there, or was refused.
    """
    main = report.parts[0]
    comparison = _comparison(main, candidate)
    low = _low(comparison)
    found = f"{_points(comparison.difference.value)} points [{_interval(comparison)}], n = {main.n}"
    gain = Check(
        f"at least {margin:g} points better than {main.baseline}, interval above 0",
        bool(beats(comparison.difference.value or 0.0, low, margin)),
        found,
    )
    checks = [gain]
    if len(report.parts) > 1:
        checks.append(general_check(report, weights[candidate]))
    return Verdict(candidate, main.baseline, margin, tuple(checks), "" if gain.passed else _advice(comparison, main.n))


def general_check(report: Report, weights: str | None) -> Check:
    """Whether these weights (`Arm.weights`) keep what the general part asks; the report has to have one."""
    name = f"general part: at most {report.general_margin:g} points lost, shown by the interval"
    if weights is None:
        return Check(name, True, "no adapter: the bare model's own weights")
    comparison = _comparison(report.parts[1], general_arm(weights))
    found = f"{weights}: {_points(comparison.difference.value)} points [{_interval(comparison)}]"
    return Check(name, bool(holds(_low(comparison), report.general_margin)), f"{found}, n = {report.parts[1].n}")


def _comparison(part: PartReport, name: str) -> Comparison:
    arms = {arm.name: arm for arm in part.arms}
    for one in (name, part.baseline):
        if one not in arms:
            raise FailedPrecondition(f"no arm {one!r}; known: {', '.join(arms)}")
        if arms[one].refused:
            raise FailedPrecondition(f"arm {one!r} was refused: {arms[one].refused}")
    comparison = arms[name].comparison
    if comparison is None:
        raise FailedPrecondition(f"{name!r} is the baseline itself, expected another arm as candidate")
    return comparison


def _low(comparison: Comparison) -> float:
    interval = comparison.difference.interval
    return float("-inf") if interval is None else interval.low


def _points(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:+.1f}"


def _interval(comparison: Comparison) -> str:
    interval = comparison.difference.interval
    return "?" if interval is None else f"{_points(interval.low)}, {_points(interval.high)}"


def _advice(comparison: Comparison, n: int) -> str:
    discordant = (comparison.gained + comparison.lost) / n
    needed = examples_needed(discordant)
    if needed <= n:
        return ""
    return (
        f"the two differ on {100 * discordant:.0f}% of the questions; at that rate about {needed:,} questions are "
        f"needed to find a true gain of 5 points 9 times in 10, and there are {n:,}"
    )
