"""Rollouts, and the store of their state. Defaults are those of `trivet.rollouts.spec.RolloutSpec`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from trivet.config.fields import patterns
from trivet.config.fields.kinds import Count, Name, NotNegative, Positive, Section
from trivet.rollouts.spec import MOST_STEPS

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError("expected seconds, or a number with its unit, such as 90s, 15m, 1h or 7d")
    return float(found[1]) * _UNITS[found[2]]


def _share(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _PERCENT.fullmatch(value)
    if found is None:
        raise ValueError("expected a share such as 5% or 0.05")
    return float(found[1]) / 100


Seconds = Annotated[NotNegative, BeforeValidator(_seconds)]
SomeSeconds = Annotated[Positive, BeforeValidator(_seconds)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(_share)]
GuardrailName = Literal[
    "error",
    "ttft",
    "total",
    "cost",
    "format",
    "degraded",
    "cancelled",
    "feedback",
    "feedback_response",
    "shadow_agreement",
]


class GuardrailSection(Section):
    """What one guardrail allows. What is not given is as the guardrail's defaults have it."""

    tolerance: Share | None = None
    margin: Share | None = None
    ratio: Annotated[float, Field(allow_inf_nan=False)] | None = None
    slower: Annotated[float, Field(allow_inf_nan=False)] | None = None
    required: bool | None = None


class ShadowSection(Section):
    """Copies of requests to the candidate before its first units."""

    time: SomeSeconds
    share: Share = 0.1
    max_running: Count = 1
    load: Share = 0.1


class RolloutSection(Section):
    """How the route moves from its stable variant to a candidate."""

    stable: Name
    candidate: Name
    start: Literal["manual", "automatic"] = "manual"
    steps: Annotated[list[Share], Field(min_length=1, max_length=MOST_STEPS)] = [0.01, 0.05, 0.25, 0.5]
    guardrails: Annotated[dict[GuardrailName, GuardrailSection], Field(min_length=1)] | None = None
    alpha: Share = 0.05
    promotion_alpha: Share = 0.05
    minimum_time: Seconds = 900.0
    minimum_units: Count = 50
    smoke_units: Count = 10
    maximum_time: SomeSeconds = 604_800.0
    silence: SomeSeconds = 120.0
    warming_time: SomeSeconds = 600.0
    soak: Seconds = 3600.0
    approval: Literal["never", "promotion", "every_step"] = "never"
    shadow: ShadowSection | None = None
    holdout: Share = 0.0
    most_without_unit: Share = 0.05
    stable_slowdown: Annotated[float, Field(allow_inf_nan=False)] = 1.5


class StateSection(Section):
    """What gateways share: rollouts, leases, feedback, desired adapters."""

    url: Annotated[str, StringConstraints(pattern=patterns.STATE_URL)] = "sqlite"
    password_file: str | None = None
    cut_off_after: SomeSeconds = 60.0
