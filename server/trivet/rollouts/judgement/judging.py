"""The tests that a step's guardrails are put to: which ones, at which alpha, against which sums."""

from __future__ import annotations

import numpy as np

from trivet.rollouts.judgement.evidence import GuardrailEvidence, Test, compared, smoked
from trivet.rollouts.smoke import HIGHEST_SHARE
from trivet.rollouts.spec import Guardrail, GuardrailKind, RolloutSpec
from trivet.rollouts.statistics import ArmSums, limit_test, promotion_test, rollback_test
from trivet.rollouts.tallying.guardrails import BINARY, PAIRED
from trivet.rollouts.tallying.tally import StepStatistics
from trivet.types.rollout import Arm


def rollback_tests(spec: RolloutSpec, statistics: StepStatistics) -> tuple[GuardrailEvidence, ...]:
    """One a guardrail, at the family's alpha over guardrails and steps; any that is crossed rolls back.

    Before the first step only shadow pairs are judged, by the differences within them: of 0/1 numbers the discordant
    pairs alone count (McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", 1947), and their variance is that over units. While soaking there is no stable traffic: the
    candidate is held against stable's sums of the last step, which `statistics` then holds, and against the margins,
    which leave room for a drift between the two times.
    """
    if statistics.step < 0:
        return tuple(_paired(spec, guardrail, statistics) for guardrail in paired_guardrails(spec))
    if statistics.step >= len(spec.steps):
        return tuple(_soak(spec, guardrail, statistics) for guardrail in compared_guardrails(spec))
    if spec.steps[statistics.step] <= HIGHEST_SHARE:
        return tuple(smoked(guardrail, spec, statistics) for guardrail in compared_guardrails(spec))
    return tuple(_rollback(spec, guardrail, statistics) for guardrail in compared_guardrails(spec))


def promotion_tests(spec: RolloutSpec, statistics: StepStatistics) -> tuple[GuardrailEvidence, ...]:
    """One a required guardrail, each at the whole alpha: all have to pass, so none needs a correction."""
    found = []
    for guardrail in spec.guardrails:
        if guardrail.required:
            stable, candidate = (statistics.sums[arm][guardrail.kind] for arm in (Arm.STABLE, Arm.CANDIDATE))
            alpha = spec.promotion_alpha
            test = promotion_test(
                stable, candidate,
                margin=guardrail.margin, ratio=guardrail.ratio, binary=guardrail.kind in BINARY, alpha=alpha,
            )  # fmt: skip
            found.append(compared(guardrail, Test.PROMOTION, alpha, test, stable, candidate))
    return tuple(found)


def compared_guardrails(spec: RolloutSpec) -> tuple[Guardrail, ...]:
    """Those that compare two arms: all but the shadow's agreement."""
    return tuple(guardrail for guardrail in spec.guardrails if guardrail.kind is not GuardrailKind.SHADOW_AGREEMENT)


def paired_guardrails(spec: RolloutSpec) -> tuple[Guardrail, ...]:
    """Those that shadow pairs say something of; none without a shadow."""
    return tuple(guardrail for guardrail in spec.guardrails if spec.shadow_seconds and guardrail.kind in PAIRED)


def _rollback(spec: RolloutSpec, guardrail: Guardrail, statistics: StepStatistics) -> GuardrailEvidence:
    stable, candidate = (statistics.sums[arm][guardrail.kind] for arm in (Arm.STABLE, Arm.CANDIDATE))
    alpha = spec.guardrail_alpha
    found = rollback_test(stable, candidate, tolerance=guardrail.tolerance, alpha=alpha)
    return compared(guardrail, Test.ROLLBACK, alpha, found, stable, candidate)


def _soak(spec: RolloutSpec, guardrail: Guardrail, statistics: StepStatistics) -> GuardrailEvidence:
    stable, candidate = (statistics.sums[arm][guardrail.kind] for arm in (Arm.STABLE, Arm.CANDIDATE))
    alpha = spec.guardrail_alpha
    found = rollback_test(stable, candidate, tolerance=guardrail.margin, ratio=guardrail.ratio, alpha=alpha)
    return compared(guardrail, Test.SOAK, alpha, found, stable, candidate)


def _paired(spec: RolloutSpec, guardrail: Guardrail, statistics: StepStatistics) -> GuardrailEvidence:
    pairs, none = statistics.sums[Arm.CANDIDATE][guardrail.kind], ArmSums.of(np.zeros(0), np.zeros(0))
    test = Test.AGREEMENT if guardrail.kind is GuardrailKind.SHADOW_AGREEMENT else Test.PAIRED
    alpha = spec.guardrail_alpha
    found = limit_test(pairs, limit=guardrail.tolerance, alpha=alpha)
    return compared(guardrail, test, alpha, found, none, pairs)
