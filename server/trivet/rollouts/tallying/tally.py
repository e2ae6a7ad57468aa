"""A step's statistics, from observations: per unit and arm, the first requests' numbers, and what was left out.

Everything is kept while observations come in, so that one costs the same whatever came before it, and a look costs a
step for each guardrail.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from trivet.rollouts.observation import Exclusion, Observation, Outcome, RetryWindow, exclusion
from trivet.rollouts.smoke import HIGHEST_SHARE, WINDOW_SECONDS, BettingProcess
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.statistics import FIRST_REQUESTS, ArmSums
from trivet.rollouts.tallying.guardrails import numbers
from trivet.rollouts.tallying.running_sums import RunningSums, scaled, unscaled
from trivet.rollouts.tallying.thresholds import StableBlocks, Thresholds
from trivet.types.rollout import Arm

LATE_SECONDS = 5.0
"""How long a unit's last numbers may be on their way before it is bet on without them."""


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """What a decision knows of a step.

    `new_units`: first seen by the rollout in this step, stable's and the candidate's, with those whose requests were
    all cold. `log_wealth`: of the smoke rule, the highest that the process has reached since the step began; 0 in steps
    that it does not judge. `last_counted`: when a request of each arm last counted, seconds of the store's clock;
    absent if none has.
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
class _Numbers:
    """How many numbers a unit has for a guardrail, and their sum, scaled; `early_*`: of its first minutes alone."""

    n: int = 0
    y: int = 0
    early_n: int = 0
    early_y: int = 0


@dataclass(slots=True)
class _Unit:
    arm: Arm
    first_at: float
    numbers: dict[GuardrailKind, _Numbers]
    requests: int = 0


@dataclass(slots=True)
class _Counted:
    """A request that counts, for feedback that comes later."""

    unit: _Unit
    early: bool
    score: float | None


class StepTally:
    """Adds up one step's observations, in the order in which they finished.

    Memory grows with the units of the step, not with its requests. `first_steps`, by unit the step that it was first
    seen in, grows with those of the rollout: the next step's tally takes the same one, for a copy would hold up others.
    """

    def __init__(
        self,
        step: int,
        guardrails: tuple[Guardrail, ...],
        thresholds: Thresholds | None = None,
        first_steps: dict[str, int] | None = None,
    ) -> None:
        self._step = step
        self._guardrails = guardrails
        self._kinds = frozenset(guardrail.kind for guardrail in guardrails)
        self.first_steps: dict[str, int] = {} if first_steps is None else first_steps
        self._blocks = StableBlocks(thresholds)
        self._retries = RetryWindow()
        self._units: dict[tuple[str, Arm], _Unit] = {}
        self._sums = {(arm, kind): RunningSums() for arm in Arm for kind in self._kinds}
        self._unit_counts = Counter[Arm]()
        self._arrived: set[tuple[str, Arm]] = set()
        self._new_counts = Counter[Arm]()
        self._open: deque[_Unit] = deque()  # new ones that were not bet on yet, in the order they were first seen
        self._processes: dict[GuardrailKind, BettingProcess] = {}
        self._requests: dict[tuple[str, str], _Counted] = {}
        self._exclusions = Counter[Exclusion]()
        self._counted = 0
        self._last: dict[Arm, float] = {}

    @property
    def thresholds(self) -> Thresholds:
        """What the next request is measured against."""
        return self._blocks.thresholds

    def add(self, observation: Observation) -> Exclusion | None:
        """Counts a request, or says why not. Raises ValueError for one of another step."""
        if observation.step != self._step:
            raise ValueError(f"a request of step {observation.step}, expected one of step {self._step}")
        reason = exclusion(observation)
        if reason is None and self._retries.repeated(observation):
            reason = Exclusion.REPEATED
        if reason is None:
            self.saw({observation.arm: observation.at})
            reason = self._count(observation)
        if reason is not None:
            self._exclusions[reason] += 1
        if reason is Exclusion.COLD and observation.unit is not None:
            self.arrive(observation.unit, observation.arm)
        return reason

    def arrive(self, unit: str, arm: Arm) -> None:
        """A unit is there, whether or not a request of its counts: what the ratio of new units is judged by."""
        if (unit, arm) not in self._arrived:
            self._arrived.add((unit, arm))
            if self._step >= 0:  # before the first step nobody was drawn: all units are new to it
                self.first_steps.setdefault(unit, self._step)
            if self._is_new(unit):
                self._new_counts[arm] += 1

    def add_feedback(self, unit: str, request_id: str, score: float | None) -> bool:
        """What somebody said of a unit's answer, 0 to 1, after it was counted; a later word replaces an earlier one.

        None takes it back. Whether the request is one that this step counts.
        """
        found = self._requests.get((unit, request_id))
        if found is None:
            return False
        before, found.score = found.score, score
        rated = (score is not None) - (before is not None)
        worse = _worse(score) - _worse(before)
        if rated or worse:
            self._change(found, GuardrailKind.FEEDBACK, rated, worse)
            self._change(found, GuardrailKind.FEEDBACK_RESPONSE, 0, rated * scaled(1.0))
        return True

    def exclude(self, counts: Mapping[Exclusion, int]) -> None:
        """Count requests that somebody else has left out already, by reason."""
        self._exclusions.update(counts)

    def saw(self, last: Mapping[Arm, float]) -> None:
        """An arm had a request that would count at this time, whether or not it was among a unit's first."""
        for arm, at in last.items():
            self._last[arm] = max(at, self._last.get(arm, at))

    def statistics(self, *, share: float, now: float) -> StepStatistics:
        """The step so far; `share` is the candidate's, for the smoke rule, whose units are closed by `now`."""
        self._bet(share, now)
        kinds = [guardrail.kind for guardrail in self._guardrails]
        return StepStatistics(
            step=self._step,
            sums={arm: {kind: self._sums[arm, kind].arm_sums() for kind in kinds} for arm in Arm},
            units={arm: self._unit_counts[arm] for arm in Arm},
            new_units={arm: self._new_counts[arm] for arm in Arm},
            log_wealth={kind: self._processes[kind].highest if kind in self._processes else 0.0 for kind in kinds},
            exclusions=dict(self._exclusions),
            counted=self._counted,
            last_counted=dict(self._last),
        )

    def shed(self, most: int) -> bool:
        """Free some of what was kept, for all at once takes long; whether any is left. For a step that is over."""
        self._open.clear()
        for kept in (self._requests, self._units):
            while kept and most > 0:
                kept.popitem()
                most -= 1
        while self._arrived and most > 0:
            self._arrived.pop()
            most -= 1
        return bool(self._requests or self._units or self._arrived)

    def _count(self, observation: Observation) -> Exclusion | None:
        unit = self._unit(observation)
        if unit.requests == FIRST_REQUESTS:
            return Exclusion.BEYOND_FIRST
        unit.requests += 1
        self._counted += 1
        early = observation.at - unit.first_at < WINDOW_SECONDS
        counted = _Counted(unit, early, observation.feedback)
        self._requests[observation.unit or "", observation.request_id] = counted  # ids are the clients' choice
        for kind, number in numbers(observation, self._guardrails, self._blocks.thresholds).items():
            self._change(counted, kind, 1, scaled(number))
        if observation.arm is Arm.STABLE:
            self._measure(observation)
        return None

    def _unit(self, observation: Observation) -> _Unit:
        assert observation.unit is not None
        key = (observation.unit, observation.arm)
        unit = self._units.get(key)
        if unit is None:
            unit = self._units[key] = _Unit(observation.arm, observation.at, {})
            self._unit_counts[observation.arm] += 1
            self.arrive(*key)
            if self._is_new(observation.unit):
                self._open.append(unit)
        return unit

    def _is_new(self, unit: str) -> bool:
        """No earlier step has seen it. Where a step begins anew, its own units are new once more."""
        return self.first_steps.get(unit, self._step) >= self._step

    def _change(self, counted: _Counted, kind: GuardrailKind, more: int, by: int) -> None:
        """The unit of a request has `more` numbers for a guardrail, and their sum is greater `by` this."""
        if kind not in self._kinds:
            return
        unit = counted.unit
        of = unit.numbers.setdefault(kind, _Numbers())
        self._sums[unit.arm, kind].change(of.n, of.y, of.n + more, of.y + by)
        of.n, of.y = of.n + more, of.y + by
        if counted.early:
            of.early_n, of.early_y = of.early_n + more, of.early_y + by

    def _measure(self, observation: Observation) -> None:
        """A timeout's times are longer than any limit, and are measured as such."""
        endless = math.inf if observation.outcome is Outcome.TIMED_OUT else None
        ttft = observation.ttft_ms if observation.ttft_ms is not None else endless
        answered = observation.outcome is Outcome.ANSWERED
        self._blocks.add(ttft, observation.total_ms if answered else endless, observation.cost_nano_usd)

    def _bet(self, share: float, now: float) -> None:
        """Bet on the new units whose first minutes are over: each once, in the order they were first seen."""
        if not 0 < share <= HIGHEST_SHARE:
            return
        if not self._processes:
            self._processes = {one.kind: BettingProcess(share, one.tolerance) for one in self._guardrails}
        while self._open and now - self._open[0].first_at >= WINDOW_SECONDS + LATE_SECONDS:
            unit = self._open.popleft()
            for kind, of in unit.numbers.items():
                if of.early_n:
                    mean = unscaled(of.early_y) / of.early_n
                    self._processes[kind].add(mean, candidate=unit.arm is Arm.CANDIDATE)


def _worse(score: float | None) -> int:
    """The guardrail's number of a score, scaled; 0 without one."""
    return 0 if score is None else scaled(1 - score)
