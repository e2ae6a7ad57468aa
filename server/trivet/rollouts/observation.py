"""What a rollout knows of one finished request, taken from its receipt, and why a request may not count."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from trivet.types.rollout import Arm


class Outcome(Enum):
    """How a request ended, as far as judging a variant is concerned."""

    ANSWERED = "answered"
    FAILED = "failed"
    """By the server's fault, in or after the variant."""
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    """By the client; users leave slow answers."""
    CLIENT_FAULT = "client_fault"
    REFUSED = "refused"
    """Before the variant ran: overload, quota, credentials."""


class Exclusion(Enum):
    """Why a request is in no unit's statistics. Each rule is fixed beforehand and the same in both arms."""

    SYNTHETIC = "synthetic"
    SHADOW = "shadow"
    FORCED = "forced"
    HOLDOUT = "holdout"
    REFUSED = "refused"
    CLIENT_FAULT = "client_fault"
    COLD = "cold"
    NO_UNIT = "no_unit"
    REPEATED = "repeated"
    BEYOND_FIRST = "beyond_first"


@dataclass(frozen=True, slots=True)
class Observation:
    """One finished request of a step. Times in milliseconds, `at` in seconds of the store's clock; None is unknown.

    `unit` and `text` are hashes. `format_valid` is None where the variant declares no format, `feedback` in [0, 1]
    (1 is best) where somebody rated the answer. On a shadow pair alone: `agreement` in [0, 1], and of the request that
    was copied `real_format_valid` and `real_degraded`.
    """

    request_id: str
    arm: Arm
    step: int
    at: float
    outcome: Outcome
    unit: str | None = None
    text: str = ""
    ttft_ms: float | None = None
    total_ms: float | None = None
    cost_nano_usd: int | None = None
    format_valid: bool | None = None
    degraded: bool = False
    feedback: float | None = None
    agreement: float | None = None
    real_format_valid: bool | None = None
    real_degraded: bool = False
    cold: bool = False
    forced: bool = False
    holdout: bool = False
    shadow: bool = False
    synthetic: bool = False


def exclusion(observation: Observation) -> Exclusion | None:
    """Why the request does not count, by what it is alone; the first reason that holds. None if it counts.

    A shadow pair counts before the first step, for what both answers say, and never beside requests of the real arms.
    It may be a cold one: its times say nothing in any case.
    """
    reasons = (
        (observation.synthetic, Exclusion.SYNTHETIC),
        (observation.shadow and (observation.step >= 0 or observation.agreement is None), Exclusion.SHADOW),
        (observation.forced, Exclusion.FORCED),
        (observation.holdout, Exclusion.HOLDOUT),
        (observation.outcome is Outcome.REFUSED, Exclusion.REFUSED),
        (observation.outcome is Outcome.CLIENT_FAULT, Exclusion.CLIENT_FAULT),
        (observation.cold and not observation.shadow, Exclusion.COLD),
        (observation.unit is None, Exclusion.NO_UNIT),
    )
    return next((reason for holds, reason in reasons if holds), None)


class RetryWindow:
    """Tells a retry: the same request id, or the same unit and text, within `seconds` of the one before.

    A failing variant would otherwise multiply its own failures. A shadow is no retry of the request that it copies, but
    of an earlier shadow. Remembers `capacity` requests at most.
    """

    def __init__(self, seconds: float = 10.0, capacity: int = 100_000) -> None:
        if seconds <= 0 or capacity < 1:
            raise ValueError(f"{seconds} s and {capacity} requests, expected positive bounds")
        self._seconds = seconds
        self._capacity = capacity
        self._last: dict[tuple[str, str], float] = {}
        self._order: deque[tuple[float, tuple[str, str]]] = deque()

    def repeated(self, observation: Observation) -> bool:
        """Whether this is a retry of a request seen before. Remembers it; call in the order of `at`."""
        keys = [("", observation.request_id)]
        if observation.unit is not None and observation.text:
            keys.append((f"{observation.unit} shadow" if observation.shadow else observation.unit, observation.text))
        self._forget(observation.at)
        found = any(key in self._last for key in keys)
        for key in keys:
            self._last[key] = observation.at
            self._order.append((observation.at, key))
        return found

    def _forget(self, now: float) -> None:
        while self._order and (now - self._order[0][0] > self._seconds or len(self._order) > 2 * self._capacity):
            at, key = self._order.popleft()
            if self._last.get(key) == at:
                del self._last[key]
