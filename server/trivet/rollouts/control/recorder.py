"""What a gateway records of rollouts: the first requests of each unit and step, sent to the store once a second."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from trivet.errors import StateUnavailable
from trivet.rollouts.control.batches import StepReport, pack
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.observation import Exclusion, Observation, exclusion
from trivet.rollouts.statistics import FIRST_REQUESTS
from trivet.types.rollout import Arm
from trivet.types.rollout_state import ObservationBatch

logger = logging.getLogger(__name__)

MOST_WAITING = 50_000  # observations that wait for the store
MOST_IN_A_BATCH = 200  # observations; the leader reads a batch in one piece, some 10 ms of its event loop
MOST_RATINGS = 10_000  # that wait for the next report
MOST_ARRIVED = 10_000  # units that do
MOST_REPORTS = 64  # that wait; what is seen meanwhile goes into later ones
_MOST_SENT = 2 * FIRST_REQUESTS  # of a unit and arm; the leader counts the first, retries left out
_MOST_UNITS = 1_000_000  # remembered of a step
SECONDS = 1.0


@dataclass(slots=True)
class _Step:
    """What was seen since the last report, and how often each unit was sent in this step."""

    observations: list[Observation] = field(default_factory=list)
    excluded: Counter[Exclusion] = field(default_factory=Counter)
    last: dict[Arm, float] = field(default_factory=dict)
    lost: int = 0
    feedback: dict[tuple[str, str], float | None] = field(default_factory=dict)
    arrived: set[tuple[str, Arm]] = field(default_factory=set)
    sent: Counter[tuple[str, Arm]] = field(default_factory=Counter)

    @property
    def empty(self) -> bool:
        """All that is told of cold requests beside is among the excluded."""
        return not (self.observations or self.excluded or self.last or self.lost or self.feedback)


@dataclass(frozen=True, slots=True)
class _Waiting:
    rollout: str
    step: int
    seq: int
    report: StepReport


class Recorder:
    """Collects observations and hands them to the store. All calls come from one event loop.

    A batch that may or may not have been stored is sent again under its number, so it counts once. While the store is
    away observations wait, up to a bound; those beyond it are counted as lost, which the leader takes for a hole.
    """

    def __init__(
        self,
        append: Callable[[list[ObservationBatch]], Awaitable[int]],
        gateway: str,
        timing: Timing,
        epoch: str | None = None,
    ) -> None:
        """`append`: the state store's. `epoch`: of this process, drawn if it is not given."""
        self._append = append
        self._gateway = gateway
        self._timing = timing
        self.epoch = secrets.token_hex(8) if epoch is None else epoch
        self._steps: dict[tuple[str, int], _Step] = {}
        self._waiting: list[_Waiting] = []
        self._seq = 0
        self._away = False

    def observe(self, rollout: str, observation: Observation) -> None:
        """Record a request that has ended; `at` is of the timing's monotonic clock. Takes a few microseconds."""
        step = self._steps.setdefault((rollout, observation.step), _Step())
        reason = exclusion(observation)
        if reason is not None:
            step.excluded[reason] += 1
            if reason is Exclusion.COLD and observation.unit is not None:
                self._arrive(step, (observation.unit, observation.arm))
            return
        assert observation.unit is not None
        step.last[observation.arm] = observation.at
        key = (observation.unit, observation.arm)
        if step.sent[key] >= _MOST_SENT:
            step.excluded[Exclusion.BEYOND_FIRST] += 1
        elif self._full() or (key not in step.sent and len(step.sent) > _MOST_UNITS):
            step.lost += 1
        else:
            step.sent[key] += 1
            step.observations.append(observation)

    def rate(self, rollout: str, step: int, unit: str, request_id: str, score: float | None) -> None:
        """Record what somebody said of a request that was observed before; the last word on it counts."""
        of = self._steps.setdefault((rollout, step), _Step())
        if len(of.feedback) >= MOST_RATINGS and (unit, request_id) not in of.feedback:
            of.lost += 1
        else:
            of.feedback[unit, request_id] = score

    def keep(self, rollouts: dict[str, int]) -> None:
        """Forget the units of all but these rollouts' steps, once their reports are on their way."""
        for key in [key for key, step in self._steps.items() if rollouts.get(key[0]) != key[1] and step.empty]:
            del self._steps[key]

    async def run(self) -> None:
        """Send a report each second, until cancelled."""
        while True:
            await self._timing.sleep(SECONDS)
            try:
                await self.flush()
            except Exception:
                logger.exception("observations of rollouts were not sent; tried again")

    async def flush(self) -> None:
        """Send what there is. What the store does not take now is sent again with the next flush."""
        if len(self._waiting) < MOST_REPORTS:
            self._waiting.extend(self._reports())
        while self._waiting:
            some, batches = self._waiting[:8], []
            for one in some:
                data = pack(one.report, self._timing.monotonic())
                batches.append(ObservationBatch(one.rollout, one.step, self._gateway, self.epoch, one.seq, data))
                await asyncio.sleep(0)
            try:
                await self._append(batches)
            except StateUnavailable as problem:
                level = logging.DEBUG if self._away else logging.WARNING  # said once, and not each second
                logger.log(level, "observations of rollouts wait: %s", problem)
                self._away = True
                return
            self._away = False
            del self._waiting[: len(some)]
            await asyncio.sleep(0)

    @staticmethod
    def _arrive(step: _Step, key: tuple[str, Arm]) -> None:
        """The candidate alone is cold at first. Without its first units it would seem to get too few."""
        if key in step.sent or key in step.arrived:
            return
        if len(step.arrived) >= MOST_ARRIVED:
            step.lost += 1
        else:
            step.arrived.add(key)

    def _full(self) -> bool:
        waiting = sum(len(one.report.observations) for one in self._waiting)
        return waiting + sum(len(step.observations) for step in self._steps.values()) >= MOST_WAITING

    def _reports(self) -> Iterator[_Waiting]:
        for (rollout, number), step in self._steps.items():
            if step.empty:
                continue
            for report in _split(step):
                yield _Waiting(rollout, number, self._seq, report)
                self._seq += 1
            step.observations, step.excluded, step.last, step.lost, step.feedback = [], Counter(), {}, 0, {}
            step.arrived = set()


def _split(step: _Step) -> Iterator[StepReport]:
    """Reports of a bounded size; feedback comes after the observations that it may be on."""
    ratings = [(*of, score) for of, score in step.feedback.items()]
    arrived = sorted(step.arrived, key=lambda one: (one[0], one[1].value))
    at_once, observations = MOST_IN_A_BATCH, step.observations
    reports = [StepReport(observations[at : at + at_once]) for at in range(0, len(observations), at_once)]
    reports += [StepReport(arrived=arrived[at : at + at_once]) for at in range(0, len(arrived), at_once)]
    reports += [StepReport(feedback=ratings[at : at + at_once]) for at in range(0, len(ratings), at_once)]
    first, *more = reports or [StepReport()]
    yield replace(first, excluded=dict(step.excluded), last=dict(step.last), lost=step.lost)
    yield from more
