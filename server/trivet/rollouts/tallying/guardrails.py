"""The number in [0, 1] that a finished request gives for each guardrail: higher is worse."""

from __future__ import annotations

from collections.abc import Iterable

from trivet.rollouts.observation import Observation, Outcome
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.rollout import Arm

BINARY = frozenset(GuardrailKind) - {GuardrailKind.COST, GuardrailKind.FEEDBACK, GuardrailKind.SHADOW_AGREEMENT}
"""Those whose numbers are 0 or 1."""

PAIRED = frozenset({GuardrailKind.SHADOW_AGREEMENT, GuardrailKind.FORMAT, GuardrailKind.DEGRADED})
"""Those that a shadow and the request that it copies say something of together. Times and costs say nothing: a shadow
runs when nobody else does. Errors neither, for only answers are copied: a failed copy has an agreement of 0."""


def numbers(
    observation: Observation, guardrails: Iterable[Guardrail], thresholds: Thresholds
) -> dict[GuardrailKind, float]:
    """What a request that counts says of each guardrail. Guardrails that it says nothing of are absent.

    A shadow gives differences to the request that it copies, from -1 to 1, and how far it is from agreeing.
    """
    found = {
        guardrail.kind: _difference(observation, guardrail.kind)
        if observation.shadow
        else _number(observation, guardrail, thresholds)
        for guardrail in guardrails
    }
    return {kind: number for kind, number in found.items() if number is not None}


def _difference(observation: Observation, kind: GuardrailKind) -> float | None:
    answered = observation.outcome is Outcome.ANSWERED
    match kind:
        case GuardrailKind.SHADOW_AGREEMENT:
            return None if observation.agreement is None else 1 - observation.agreement
        case GuardrailKind.FORMAT:
            known = answered and observation.format_valid is not None and observation.real_format_valid is not None
            return float(not observation.format_valid) - float(not observation.real_format_valid) if known else None
        case GuardrailKind.DEGRADED:
            return float(observation.degraded) - float(observation.real_degraded) if answered else None
        case _:
            return None


def _number(observation: Observation, guardrail: Guardrail, thresholds: Thresholds) -> float | None:
    outcome = observation.outcome
    factor = guardrail.slower if observation.arm is Arm.CANDIDATE else 1.0
    match guardrail.kind:
        case GuardrailKind.ERROR:
            return float(outcome in (Outcome.FAILED, Outcome.TIMED_OUT))
        case GuardrailKind.TTFT:
            return _exceedance(observation, observation.ttft_ms, thresholds.ttft_ms, factor)
        case GuardrailKind.TOTAL:
            ended = observation.total_ms if outcome is Outcome.ANSWERED else None
            return _exceedance(observation, ended, thresholds.total_ms, factor)
        case GuardrailKind.COST:
            return _cost(observation.cost_nano_usd, thresholds.cost_nano_usd)
        case GuardrailKind.FORMAT:
            known = outcome is Outcome.ANSWERED and observation.format_valid is not None
            return float(not observation.format_valid) if known else None
        case GuardrailKind.DEGRADED:
            return float(observation.degraded)
        case GuardrailKind.CANCELLED:
            return float(outcome is Outcome.CANCELLED)
        case GuardrailKind.FEEDBACK:
            return None if observation.feedback is None else 1 - observation.feedback
        case GuardrailKind.FEEDBACK_RESPONSE:
            return float(observation.feedback is not None)
        case GuardrailKind.SHADOW_AGREEMENT:
            return None


def _exceedance(observation: Observation, known_ms: float | None, limit: float | None, factor: float) -> float | None:
    """Whether a time is above the limit. A timeout is, or the slow arm would lose its slowest requests.

    One that its user cancelled is, if it had lasted beyond the limit by then; what it would have taken is unknown else.
    """
    if limit is None:
        return None
    if known_ms is not None:
        return float(known_ms > factor * limit)
    if observation.outcome is Outcome.TIMED_OUT:
        return 1.0
    lasted = observation.total_ms
    if observation.outcome is Outcome.CANCELLED and lasted is not None and lasted > factor * limit:
        return 1.0
    return None


def _cost(cost: int | None, cap: float | None) -> float | None:
    if cost is None or not cap:
        return None
    return min(float(cost), cap) / cap
