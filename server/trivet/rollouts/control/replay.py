"""The statistics of a rollout, from its batches in the order of their numbers: the same for whoever leads."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace

from trivet.rollouts.control.batches import unpack
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import Position
from trivet.rollouts.tallying.tally import StepStatistics, StepTally
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.rollout import Arm
from trivet.types.rollout_state import StoredBatch

_SHED = 5000  # units and requests of a step that is over, which are freed at once


class Replay:
    """Takes a rollout's batches, each once and in order, and is told where the rollout was when.

    What the store had by the time that a step began counts for the step before. A batch of a step that is over by then
    is late, and is passed over. `holes`: what was lost in the step, in words, by the time that the store heard of it.
    """

    def __init__(self, spec: RolloutSpec) -> None:
        self._spec = spec
        self._stable_before: StepStatistics | None = None
        self._started = math.inf
        self._baseline: float | None = None
        self.number = 0
        self.holes: list[tuple[float, str]] = []
        self._tally = StepTally(-1, spec.guardrails)
        self._step = -1
        self._last = (-1, 0.0)
        self._to_begin: deque[tuple[int, float]] = deque()
        self._over: deque[StepTally] = deque()  # that are being freed, a few units with each batch

    @property
    def thresholds(self) -> Thresholds:
        """What requests are measured against now."""
        return self._tally.thresholds

    @property
    def stable_slowdown(self) -> float | None:
        """Stable's p95 of the time to first token over its last one before the start; None until both are known.

        A rollout that was started at once has no past: then it is over the first one since.
        """
        now = self.thresholds.ttft_ms
        return None if not self._baseline or now is None else now / self._baseline

    def begin(self, step: int, at: float) -> None:
        """The statistics of this step began then, by the store's clock; nothing if that is known.

        To be told before a later batch of the step is taken; earlier ones may still follow.
        """
        last_step, last_at = self._last
        if step > last_step or (step == last_step and at > last_at):
            self._last = step, at
            self._to_begin.append((step, at))

    def start(self, at: float) -> None:
        """Somebody started the rollout then: what the store had by that time is the route's past."""
        self._started = min(self._started, at)

    def take(self, stored: StoredBatch) -> None:
        """Count what a gateway reported. Raises ValueError for a batch that is out of order."""
        if stored.number != self.number + 1:
            raise ValueError(f"batch {stored.number}, expected batch {self.number + 1}")
        self.number = stored.number
        if self._over and not self._over[0].shed(_SHED):
            self._over.popleft()
        try:
            report = unpack(stored)
        except ValueError as problem:
            self.holes.append((stored.at, str(problem)))
            return
        self._begin_before(stored.at)
        while stored.batch.step > self._step and self._to_begin:
            self._begin(*self._to_begin.popleft())
        if stored.batch.step > self._step:  # its beginning is older than what is read of the audit log
            self.begin(stored.batch.step, stored.at)
            self._begin_before(math.inf)
        if stored.batch.step < self._step:
            return
        if report.lost:
            self.holes.append((stored.at, f"{stored.batch.gateway} lost {report.lost} observations"))
        for unit, arm in report.arrived:
            self._tally.arrive(unit, arm)
        for observation in report.observations:
            self._tally.add(observation)
        for unit, request_id, score in report.feedback:
            self._tally.add_feedback(unit, request_id, score)
        self._tally.exclude(report.excluded)
        self._tally.saw(report.last)
        if self._baseline is None or stored.at <= self._started:
            self._baseline = self.thresholds.ttft_ms

    def statistics(self, position: Position, now: float) -> StepStatistics:
        """Of the position's step. While it soaks, stable's sums are those of the last step."""
        self.begin(position.step, position.judged_since)
        self._begin_before(math.inf)
        found = self._tally.statistics(share=position.share, now=now)
        if position.step < len(self._spec.steps) or self._stable_before is None:
            return found
        return replace(found, sums={**found.sums, Arm.STABLE: self._stable_before.sums[Arm.STABLE]})

    def _begin_before(self, at: float) -> None:
        while self._to_begin and self._to_begin[0][1] < at:
            self._begin(*self._to_begin.popleft())

    def _begin(self, step: int, at: float) -> None:
        before = self._tally
        if step >= len(self._spec.steps):
            self._stable_before = before.statistics(share=self._spec.steps[-1], now=at)
        self._tally = StepTally(step, self._spec.guardrails, before.thresholds, before.first_steps)
        self._over.append(before)
        self._step = step
