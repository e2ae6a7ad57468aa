"""What a rollout is asked to do: written with the route, reviewed like code, never changed while it runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum

MOST_STEPS = 32
_NAME_LENGTH = 128


class GuardrailKind(Enum):
    """What a guardrail watches. Each is a number in [0, 1] per request, higher is worse."""

    ERROR = "error"
    TTFT = "ttft"
    TOTAL = "total"
    COST = "cost"
    FORMAT = "format"
    DEGRADED = "degraded"
    CANCELLED = "cancelled"
    FEEDBACK = "feedback"
    FEEDBACK_RESPONSE = "feedback_response"
    SHADOW_AGREEMENT = "shadow_agreement"


class Approval(Enum):
    """Where a person has to agree."""

    NEVER = "never"
    PROMOTION = "promotion"
    EVERY_STEP = "every_step"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """`tolerance`: points by which the candidate may be worse before it is rolled back.

    `required`: promotion needs proof that the candidate's rate is below `ratio` times stable's plus `margin` points;
    otherwise it is enough that the guardrail is not crossed. `slower`: for times, the factor on the candidate's limit.
    """

    kind: GuardrailKind
    tolerance: float = 0.0
    margin: float = 0.0
    ratio: float = 1.0
    slower: float = 1.0
    required: bool = False


DEFAULT_GUARDRAILS = (
    Guardrail(GuardrailKind.ERROR, margin=0.01, required=True),
    Guardrail(GuardrailKind.FORMAT, margin=0.02, required=True),
    Guardrail(GuardrailKind.DEGRADED, margin=0.02, required=True),
    Guardrail(GuardrailKind.TTFT, margin=0.05, required=True),
    Guardrail(GuardrailKind.COST, ratio=1.1),
    Guardrail(GuardrailKind.FEEDBACK, margin=0.05),
)
"""Four that promotion has to prove. Cost and feedback need days for a proof: they only must not be crossed."""


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """Times in seconds, shares of units in (0, 1). Variants are named with the digest of all that they consist of.

    `minimum_*`: in each step, units per arm. `maximum_seconds`: in a step, then it halts. `silence_seconds`: without a
    request that counts in either arm, then it halts. `stable_slowdown`: stable's p95 of the time to first token over
    its own before the start (of its first requests since, if it has no past), then it halts, for a candidate may slow
    an engine that both share. `shadow_share`: of the units, those whose requests are copied to the candidate for
    `shadow_seconds` before the first step; `shadow_running` copies at once in a gateway, while it runs no more than
    `shadow_load` of what it may.
    """

    route: str
    stable: str
    candidate: str
    stable_digest: str
    candidate_digest: str
    steps: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5)
    guardrails: tuple[Guardrail, ...] = DEFAULT_GUARDRAILS
    alpha: float = 0.05
    promotion_alpha: float = 0.05
    minimum_seconds: float = 900.0
    minimum_units: int = 50
    smoke_units: int = 10
    maximum_seconds: float = 7 * 86_400.0
    silence_seconds: float = 120.0
    warming_seconds: float = 600.0
    shadow_seconds: float = 0.0
    shadow_share: float = 0.0
    shadow_running: int = 1
    shadow_load: float = 0.1
    soak_seconds: float = 3600.0
    approval: Approval = Approval.NEVER
    holdout: float = 0.0
    most_without_unit: float = 0.05
    stable_slowdown: float = 1.5

    @property
    def guardrail_alpha(self) -> float:
        """What each guardrail may spend in each step, the shadow included, so that the whole rollout spends `alpha`."""
        return self.alpha / (len(self.guardrails) * (len(self.steps) + bool(self.shadow_seconds)))

    def digest(self) -> str:
        """SHA-256 in hexadecimal: another digest is another rollout, with a new salt and no statistics."""
        data = json.dumps(asdict(self), sort_keys=True, default=lambda value: value.value, allow_nan=False)
        return hashlib.sha256(data.encode()).hexdigest()


def problems(spec: RolloutSpec) -> tuple[str, ...]:
    """What is wrong with a spec, all of it, each with what was expected; empty if nothing is."""
    return (*_names(spec), *_steps(spec), *_bounds(spec), *_guardrails(spec))


def _names(spec: RolloutSpec) -> Iterator[str]:
    for field in ("route", "stable", "candidate", "stable_digest", "candidate_digest"):
        if not 1 <= len(getattr(spec, field)) <= _NAME_LENGTH:
            yield f"{field}: expected 1 to {_NAME_LENGTH} characters"
    if spec.stable == spec.candidate:
        yield f"candidate: {spec.candidate!r} is the stable variant, expected another one"
    elif spec.stable_digest == spec.candidate_digest:
        yield "candidate: it consists of the same as the stable variant, expected something that differs"


def _steps(spec: RolloutSpec) -> Iterator[str]:
    if not 1 <= len(spec.steps) <= MOST_STEPS:
        yield f"steps: {len(spec.steps)} of them, expected 1 to {MOST_STEPS}"
    for share in spec.steps:
        if not 0.001 <= share <= 0.9:
            yield f"steps: {share}, expected shares from 0.001 to 0.9; promotion sets 1"
    if any(later <= earlier for earlier, later in zip(spec.steps, spec.steps[1:], strict=False)):
        yield "steps: expected each to be above the one before"


def _bounds(spec: RolloutSpec) -> Iterator[str]:
    ranges = (
        ("alpha", 0.0001, 0.25), ("promotion_alpha", 0.0001, 0.25), ("minimum_seconds", 0, 90 * 86_400),
        ("minimum_units", 30, 10_000_000), ("smoke_units", 1, 10_000_000), ("maximum_seconds", 1, 365 * 86_400),
        ("silence_seconds", 1, 86_400), ("warming_seconds", 1, 86_400), ("shadow_seconds", 0, 90 * 86_400),
        ("soak_seconds", 0, 90 * 86_400), ("holdout", 0, 0.5), ("most_without_unit", 0, 0.5),
        ("stable_slowdown", 1.01, 100), ("shadow_share", 0, 1), ("shadow_running", 1, 1000), ("shadow_load", 0.01, 1),
    )  # fmt: skip
    for field, low, high in ranges:
        value = getattr(spec, field)
        if not low <= value <= high:
            yield f"{field}: {value}, expected a number from {low} to {high}"
    if bool(spec.shadow_seconds) != bool(spec.shadow_share):
        yield f"shadow_share: {spec.shadow_share} for {spec.shadow_seconds} s, expected both above 0, or none"
    if spec.maximum_seconds <= spec.minimum_seconds:
        yield f"maximum_seconds: {spec.maximum_seconds}, expected more than minimum_seconds, {spec.minimum_seconds}"
    if spec.maximum_seconds <= spec.shadow_seconds:
        yield f"maximum_seconds: {spec.maximum_seconds}, expected more than shadow_seconds, {spec.shadow_seconds}"


def _guardrails(spec: RolloutSpec) -> Iterator[str]:
    kinds = [guardrail.kind for guardrail in spec.guardrails]
    if not kinds:
        yield "guardrails: none, expected at least one"
    for kind in GuardrailKind:
        if kinds.count(kind) > 1:
            yield f"guardrails: {kind.value} is given {kinds.count(kind)} times, expected once"
    if kinds and not any(guardrail.required for guardrail in spec.guardrails):
        yield "guardrails: none is required, so nothing would be proven, expected at least one"
    for guardrail in spec.guardrails:
        yield from _guardrail(guardrail)
    if GuardrailKind.SHADOW_AGREEMENT in kinds and not spec.shadow_seconds:
        yield "guardrails: shadow_agreement without a shadow, expected shadow_seconds above 0"


def _guardrail(guardrail: Guardrail) -> Iterator[str]:
    name = f"guardrails: {guardrail.kind.value}"
    for field, low, high in (("tolerance", 0, 0.5), ("margin", 0, 0.5), ("ratio", 1, 2), ("slower", 1, 10)):
        value = getattr(guardrail, field)
        if not (math.isfinite(value) and low <= value <= high):
            yield f"{name}: {field} is {value}, expected a number from {low} to {high}"
    if guardrail.required and guardrail.margin == 0 and guardrail.ratio == 1:
        yield f"{name}: required without a margin, expected margin above 0 or ratio above 1: equality cannot be proven"
    if guardrail.slower != 1 and guardrail.kind not in (GuardrailKind.TTFT, GuardrailKind.TOTAL):
        yield f"{name}: slower is {guardrail.slower}, expected 1 for what is not a time"
    if guardrail.required and guardrail.kind is GuardrailKind.SHADOW_AGREEMENT:
        yield f"{name}: required, expected a tolerance alone: stable has no agreement to compare with"
