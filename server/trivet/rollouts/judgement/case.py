"""What a decision is made from, and what it may come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from trivet.rollouts.smoke import HIGHEST_SHARE
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import Event, Position
from trivet.rollouts.tallying.tally import StepStatistics


class Reason(Enum):
    """Why a decision is what it is."""

    NOTHING_TO_JUDGE = "nothing_to_judge"
    GUARDRAIL_CROSSED = "guardrail_crossed"
    DATA_HOLE = "data_hole"
    NO_DATA = "no_data"
    MISSING_DATA = "missing_data"
    SNAPSHOT_SWITCHED = "snapshot_switched"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    STABLE_SLOWED = "stable_slowed"
    NOT_WARM = "not_warm"
    MAXIMUM_TIME = "maximum_time"
    MINIMUM_TIME = "minimum_time"
    MINIMUM_UNITS = "minimum_units"
    TOO_MANY_WITHOUT_UNIT = "too_many_without_unit"
    NOT_PROVEN = "not_proven"
    AWAITING_APPROVAL = "awaiting_approval"
    PASSED = "passed"


Verdict = tuple[Event | None, Reason, str]
"""What happens, why, and the same for people."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of the data and of the gateways, beside the data themselves.

    `holes`: what was lost or could not be read in this step, in words. `waiting_for`: the gateways on which the
    candidate is not warm or the last change not applied. `stable_slowdown`: stable's p95 of the time to first token
    over its own before the start; None if unknown. `mismatch_cause`: what is known of why units are out of ratio.
    `switched`: the gateways on which an index of the arms has another live snapshot than when the step began, in words.
    """

    holes: tuple[str, ...] = ()
    waiting_for: tuple[str, ...] = ()
    stable_slowdown: float | None = None
    mismatch_cause: str = ""
    switched: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision is made from. `now`: seconds of the store's clock."""

    spec: RolloutSpec
    position: Position
    statistics: StepStatistics
    health: Health
    now: float

    @property
    def last_step(self) -> bool:
        """The next one is the promotion."""
        return self.position.step == len(self.spec.steps) - 1

    @property
    def smoke(self) -> bool:
        """Judged by the smoke rule, of few units."""
        return 0 <= self.position.step < len(self.spec.steps) and self.position.share <= HIGHEST_SHARE

    @property
    def judged_seconds(self) -> float:
        """How long the step's statistics have been going on."""
        return self.now - self.position.judged_since
