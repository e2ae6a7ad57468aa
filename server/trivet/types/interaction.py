"""What was asked and answered, as far as a route keeps it. Times are seconds of the state store's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trivet.types.rollout_state import Feedback


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request with its answer.

    `unit`: a digest of the unit's id, empty without one. `messages`, `tool_calls`: as JSON has them. `receipt`: by its
    fields' names in the contract.
    """

    tenant: str
    request_id: str
    route: str
    variant: str
    unit: str
    messages: tuple[Mapping[str, Any], ...]
    answer: str
    variables: Mapping[str, str] = field(default_factory=dict)
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    receipt: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SealedInteraction:
    """The same as it is stored: what is looked for in clear, all else in `data`, compressed and perhaps encrypted."""

    tenant: str
    request_id: str
    route: str
    variant: str
    unit: str
    data: bytes


@dataclass(frozen=True, slots=True)
class StoredInteraction:
    """One out of the store. `number` grows with each that is stored; `feedback`: what was said of it, if anything."""

    number: int
    at: float
    interaction: SealedInteraction
    feedback: Feedback | None = None


@dataclass(frozen=True, slots=True)
class InteractionFilter:
    """Which of a tenant's; what is empty or None does not restrict. `after` and `before`: seconds since 1970.

    `rated`: those that somebody said something of.
    """

    tenant: str
    routes: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    after: float | None = None
    before: float | None = None
    rated: bool = False


@dataclass(frozen=True, slots=True)
class InteractionCount:
    """How many of a route and variant are stored, and what was said of them."""

    route: str
    variant: str
    stored: int
    rated: int
    corrected: int
    mean_score: float | None
    oldest: float
    newest: float
