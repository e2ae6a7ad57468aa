"""A step's statistics, from observations: per unit and arm, the first requests' numbers, and what was left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from trivet.rollouts.guardrails import numbers
from trivet.rollouts.observation import Exclusion, Observation, Outcome, RetryWindow, exclusion
from trivet.rollouts.smoke import WINDOW_SECONDS, log_wealth
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.statistics import FIRST_REQUESTS, ArmSums
from trivet.rollouts.thresholds import StableBlocks, Thresholds
from trivet.types.rollout import Arm


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """What a decision knows of a step.

    `new_units`: first seen by the rollout in this step, stable's and the candidate's. `log_wealth`: of the smoke rule,
    at its latest unit; of the highest the process has reached since the step began. `last_counted`: when a request of
    each arm last counted, seconds of the store's clock; absent if none has.
    """

    step: int
    sums: Mapping[Arm, Mapping[GuardrailKind, ArmSums]]
    units: Mapping[Arm, int]
    new_units: Mapping[Arm, int]
    log_wealth: Mapping[GuardrailKind, float]
    exclusions: Mapping[Exclusion, int]
    counted: int
    last_counted: Mapping[Arm, float]


@dataclass(slots=True)
class _Unit:
    arm: Arm
    first_at: float
    new: bool
    requests: int = 0
    n: dict[GuardrailKind, int] = field(default_factory=dict)
    y: dict[GuardrailKind, float] = field(default_factory=dict)
    early_n: dict[GuardrailKind, int] = field(default_factory=dict)
    early_y: dict[GuardrailKind, float] = field(default_factory=dict)


class StepTally:
    """Adds up one step's observations, in the order in which they finished.

    Memory grows with the units of the step, not with its requests; the tally of all earlier steps' units is the
    caller's (`known_units`).
    """

    def __init__(
        self,
        step: int,
        guardrails: tuple[Guardrail, ...],
        thresholds: Thresholds | None = None,
        known_units: frozenset[str] = frozenset(),
    ) -> None:
        self._step = step
        self._guardrails = guardrails
        self._known = known_units
        self._blocks = StableBlocks(thresholds)
        self._retries = RetryWindow()
        self._units: dict[tuple[str, Arm], _Unit] = {}
        self._exclusions: Counter[Exclusion] = Counter()
        self._counted = 0
        self._last: dict[Arm, float] = {}

    def add(self, observation: Observation) -> Exclusion | None:
        """Counts a request, or says why not. Raises ValueError for one of another step."""
        if observation.step != self._step:
            raise ValueError(f"a request of step {observation.step}, expected one of step {self._step}")
        reason = exclusion(observation)
        if reason is None and self._retries.repeated(observation):
            reason = Exclusion.REPEATED
        if reason is None:
            self._last[observation.arm] = observation.at
            reason = self._count(observation)
        if reason is not None:
            self._exclusions[reason] += 1
        return reason

    def exclude(self, counts: Mapping[Exclusion, int]) -> None:
        """Count requests that somebody else has left out already, by reason."""
        self._exclusions.update(counts)

    def saw(self, last: Mapping[Arm, float]) -> None:
        """An arm had a request that would count at this time, whether or not it was among a unit's first."""
        for arm, at in last.items():
            self._last[arm] = max(at, self._last.get(arm, at))

    @property
    def thresholds(self) -> Thresholds:
        """What the next request is measured against."""
        return self._blocks.thresholds

    @property
    def known_units(self) -> frozenset[str]:
        """Those of this step and of all before it."""
        return self._known | {unit for unit, _ in self._units}

    def statistics(self, *, share: float, now: float) -> StepStatistics:
        """The step so far; `share` is the candidate's, for the smoke rule, whose units are closed by `now`."""
        kinds = [guardrail.kind for guardrail in self._guardrails]
        return StepStatistics(
            step=self._step,
            sums={arm: {kind: self._sums(arm, kind) for kind in kinds} for arm in Arm},
            units={arm: sum(unit.arm is arm for unit in self._units.values()) for arm in Arm},
            new_units={arm: sum(unit.arm is arm and unit.new for unit in self._units.values()) for arm in Arm},
            log_wealth={guardrail.kind: self._wealth(guardrail, share, now) for guardrail in self._guardrails},
            exclusions=dict(self._exclusions),
            counted=self._counted,
            last_counted=dict(self._last),
        )

    def _count(self, observation: Observation) -> Exclusion | None:
        assert observation.unit is not None
        key = (observation.unit, observation.arm)
        unit = self._units.get(key)
        if unit is None:
            new = observation.unit not in self._known
            unit = self._units[key] = _Unit(observation.arm, observation.at, new)
        if unit.requests == FIRST_REQUESTS:
            return Exclusion.BEYOND_FIRST
        unit.requests += 1
        self._counted += 1
        early = observation.at - unit.first_at < WINDOW_SECONDS
        for kind, number in numbers(observation, self._guardrails, self._blocks.thresholds).items():
            _add(unit.n, unit.y, kind, number)
            if early:
                _add(unit.early_n, unit.early_y, kind, number)
        if observation.arm is Arm.STABLE:
            self._measure(observation)
        return None

    def _measure(self, observation: Observation) -> None:
        """A timeout's times are longer than any limit, and are measured as such."""
        endless = math.inf if observation.outcome is Outcome.TIMED_OUT else None
        ttft = observation.ttft_ms if observation.ttft_ms is not None else endless
        answered = observation.outcome is Outcome.ANSWERED
        self._blocks.add(ttft, observation.total_ms if answered else endless, observation.cost_nano_usd)

    def _sums(self, arm: Arm, kind: GuardrailKind) -> ArmSums:
        units = [unit for unit in self._units.values() if unit.arm is arm and kind in unit.n]
        counts = np.array([unit.n[kind] for unit in units], dtype=np.float64)
        return ArmSums.of(counts, np.array([unit.y[kind] for unit in units], dtype=np.float64))

    def _wealth(self, guardrail: Guardrail, share: float, now: float) -> float:
        kind = guardrail.kind
        units = [
            unit
            for unit in self._units.values()
            if unit.new and kind in unit.early_n and now - unit.first_at >= WINDOW_SECONDS
        ]
        if not units or not 0 < share < 1:
            return 0.0
        means = np.array([unit.early_y[kind] / unit.early_n[kind] for unit in units])
        candidate = np.array([unit.arm is Arm.CANDIDATE for unit in units])
        return float(log_wealth(means, candidate, share=share, tolerance=guardrail.tolerance).max())


def _add(
    counts: dict[GuardrailKind, int], sums: dict[GuardrailKind, float], kind: GuardrailKind, number: float
) -> None:
    counts[kind] = counts.get(kind, 0) + 1
    sums[kind] = sums.get(kind, 0.0) + number
