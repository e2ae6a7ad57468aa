"""What a step must have before a rollout moves on."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.rollouts.judgement.case import Case, Reason, Verdict
from trivet.rollouts.judgement.judging import compared_guardrails, paired_guardrails
from trivet.rollouts.statistics import PROMOTION_UNITS, ROLLBACK_UNITS
from trivet.types.rollout import Arm


def asked_for(case: Case) -> Verdict | None:
    """Whether time and units that the spec asks for are still missing."""
    spec, units = case.spec, case.statistics.units
    if case.judged_seconds < spec.minimum_seconds:
        text = f"{case.judged_seconds:.0f} s of the {spec.minimum_seconds:g} s that the step lasts at least."
        return None, Reason.MINIMUM_TIME, text
    needed = spec.smoke_units if case.smoke else spec.minimum_units
    if case.last_step and not case.smoke:
        needed = max(needed, PROMOTION_UNITS)
    if min(units.values()) < needed:
        counts = f"{units[Arm.STABLE]} units of stable and {units[Arm.CANDIDATE]} of the candidate"
        return None, Reason.MINIMUM_UNITS, f"{counts}, expected at least {needed} of each."
    return None


def fewest_units(case: Case) -> Iterator[tuple[str, Arm, int]]:
    """Each guardrail's units in each arm, where they are too few to have judged it.

    The smoke rule has few units by design: it asks for one, and of the guardrails that promotion asks for alone.
    """
    for guardrail in compared_guardrails(case.spec):
        needed = ROLLBACK_UNITS
        if case.smoke:
            needed = 1 if guardrail.required else 0
        for arm in Arm:
            units = int(case.statistics.sums[arm][guardrail.kind].units)
            if units < needed:
                yield guardrail.kind.value, arm, units


def fewest_pairs(case: Case) -> Iterator[tuple[str, int]]:
    """What shadow pairs have too few units for to have judged it, and how many they have."""
    pairs = case.statistics.units[Arm.CANDIDATE]
    if pairs < ROLLBACK_UNITS:
        yield "the shadow", pairs
    for guardrail in paired_guardrails(case.spec):
        units = int(case.statistics.sums[Arm.CANDIDATE][guardrail.kind].units)
        if units < ROLLBACK_UNITS:
            yield guardrail.kind.value, units


def missing(case: Case) -> Verdict | None:
    """What the next step still needs: time, units, numbers for each guardrail, gateways that are ready."""
    asked = asked_for(case)
    if asked is not None:
        return asked
    few = [f"{kind} has {units} units of {arm.value}" for kind, arm, units in fewest_units(case)]
    if few:
        return None, Reason.MISSING_DATA, f"Too few units to judge by: {', '.join(few)}; expected {ROLLBACK_UNITS}."
    if case.health.waiting_for:
        return None, Reason.NOT_WARM, f"Not ready for the next step: {', '.join(case.health.waiting_for)}."
    return None
