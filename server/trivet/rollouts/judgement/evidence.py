"""What a decision rests on, as plain numbers: enough to repeat it from the record alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from trivet.rollouts.observation import Exclusion
from trivet.rollouts.sample_ratio import log_evidence
from trivet.rollouts.smoke import HIGHEST_SHARE
from trivet.rollouts.spec import Guardrail, GuardrailKind, RolloutSpec
from trivet.rollouts.statistics import ArmSums, Comparison
from trivet.rollouts.tallying.tally import StepStatistics
from trivet.types.rollout import Arm

Sums = tuple[float, float, float, float, float, float]


class Test(Enum):
    """Which test a guardrail was put to."""

    __test__ = False  # no test case, whatever its name says to a test runner
    ROLLBACK = "rollback"
    SMOKE = "smoke"
    PROMOTION = "promotion"
    AGREEMENT = "agreement"
    PAIRED = "paired"
    SOAK = "soak"


@dataclass(frozen=True, slots=True)
class GuardrailEvidence:
    """One guardrail's test. For the smoke rule, `z` is the log of the wealth and `boundary` that of 1 / alpha.

    `stable` and `candidate`: units M, sum n, sum y, sum n^2, sum n y, sum y^2 over units; of shadow pairs (`agreement`,
    `paired`) the candidate's are those of the pairs, and stable has none. Not a number is None.
    """

    kind: GuardrailKind
    test: Test
    alpha: float
    tolerance: float
    ratio: float
    estimate: float | None
    standard_error: float | None
    z: float | None
    boundary: float | None
    stable: Sums
    candidate: Sums
    crossed: bool

    @property
    def interval(self) -> tuple[float, float] | None:
        """The estimate with its anytime-valid bounds, in points; None where it is unknown or the rule has none."""
        if self.estimate is None or self.standard_error is None or self.boundary is None or self.test is Test.SMOKE:
            return None
        half = self.boundary * self.standard_error
        return self.estimate - half, self.estimate + half


@dataclass(frozen=True, slots=True)
class Evidence:
    """A step as it was when the decision was made."""

    step: int
    share: float
    units: Mapping[Arm, int]
    new_units: Mapping[Arm, int]
    counted: int
    exclusions: Mapping[Exclusion, int]
    sample_ratio_log_evidence: float | None
    tests: tuple[GuardrailEvidence, ...]


def gather(statistics: StepStatistics, share: float, tests: tuple[GuardrailEvidence, ...]) -> Evidence:
    """The evidence of a step and the tests that it was put to."""
    new = statistics.new_units
    ratio = log_evidence(new[Arm.STABLE], new[Arm.CANDIDATE], share) if 0 < share < 1 else None
    return Evidence(
        step=statistics.step,
        share=share,
        units=dict(statistics.units),
        new_units=dict(new),
        counted=statistics.counted,
        exclusions=dict(statistics.exclusions),
        sample_ratio_log_evidence=ratio,
        tests=tests,
    )


def compared(
    guardrail: Guardrail, test: Test, alpha: float, found: Comparison, stable: ArmSums, candidate: ArmSums
) -> GuardrailEvidence:
    """The record of a comparison."""
    shifted = test in (Test.PROMOTION, Test.SOAK)
    return GuardrailEvidence(
        kind=guardrail.kind,
        test=test,
        alpha=alpha,
        tolerance=guardrail.margin if shifted else guardrail.tolerance,
        ratio=guardrail.ratio if shifted else 1.0,
        estimate=_known(float(found.estimate)),
        standard_error=_known(float(found.standard_error)),
        z=_known(float(found.z)),
        boundary=_known(float(found.boundary)),
        stable=stable.values(),
        candidate=candidate.values(),
        crossed=bool(found.crossed),
    )


def smoked(guardrail: Guardrail, spec: RolloutSpec, statistics: StepStatistics) -> GuardrailEvidence:
    """The record of the smoke rule, for a step of at most `smoke.HIGHEST_SHARE`."""
    assert spec.steps[statistics.step] <= HIGHEST_SHARE
    kind, wealth = guardrail.kind, statistics.log_wealth[guardrail.kind]
    needed = -math.log(spec.guardrail_alpha)
    return GuardrailEvidence(
        kind=kind,
        test=Test.SMOKE,
        alpha=spec.guardrail_alpha,
        tolerance=guardrail.tolerance,
        ratio=1.0,
        estimate=None,
        standard_error=None,
        z=wealth,
        boundary=needed,
        stable=statistics.sums[Arm.STABLE][kind].values(),
        candidate=statistics.sums[Arm.CANDIDATE][kind].values(),
        crossed=wealth >= needed,
    )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
