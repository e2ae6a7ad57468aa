"""The statistics of a rollout, from its batches in the order of their numbers: the same for whoever leads."""

from __future__ import annotations

from dataclasses import replace

from trivet.rollouts.control.batches import unpack
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.states import Position
from trivet.rollouts.tallying.tally import StepStatistics, StepTally
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.rollout import Arm
from trivet.types.rollout_state import StoredBatch


class Replay:
    """Takes a rollout's batches, each once and in order.

    A batch of an earlier step than the latest one is late, and is passed over. `holes`: what was lost in the step, in
    words, by the time that the store heard of it.
    """

    def __init__(self, spec: RolloutSpec, position: Position) -> None:
        """`position`: where the rollout is by now, whatever batches are still to be taken."""
        self._spec = spec
        self._position = position
        self._stable_before: StepStatistics | None = None
        self._baseline: float | None = None
        self.number = 0
        self.holes: list[tuple[float, str]] = []
        self._tally = StepTally(-1, spec.guardrails)
        self._step = -1

    @property
    def thresholds(self) -> Thresholds:
        """What requests are measured against now."""
        return self._tally.thresholds

    @property
    def stable_slowdown(self) -> float | None:
        """Stable's p95 of the time to first token over its first one of this rollout; None until both are known."""
        now = self.thresholds.ttft_ms
        return None if not self._baseline or now is None else now / self._baseline

    def go_to(self, position: Position) -> None:
        """The rollout is at this step now, judged since then; another one begins empty."""
        restarted = position.step == self._step and position.judged_since > self._position.judged_since
        if position.step > self._step or restarted:
            self._begin(position.step)
        self._position = position

    def take(self, stored: StoredBatch) -> None:
        """Count what a gateway reported. Raises ValueError for a batch that is out of order."""
        if stored.number != self.number + 1:
            raise ValueError(f"batch {stored.number}, expected batch {self.number + 1}")
        self.number = stored.number
        try:
            report = unpack(stored)
        except ValueError as problem:
            self.holes.append((stored.at, str(problem)))
            return
        if stored.batch.step > self._step:
            self._begin(stored.batch.step)
        if stored.batch.step < self._step or self._restarted_since(stored):
            return
        if report.lost:
            self.holes.append((stored.at, f"{stored.batch.gateway} lost {report.lost} observations"))
        for observation in report.observations:
            self._tally.add(observation)
        for unit, request_id, score in report.feedback:
            self._tally.add_feedback(unit, request_id, score)
        self._tally.exclude(report.excluded)
        self._tally.saw(report.last)
        if self._baseline is None:
            self._baseline = self.thresholds.ttft_ms

    def statistics(self, position: Position, now: float) -> StepStatistics:
        """Of the position's step. While it soaks, stable's sums are those of the last step."""
        found = self._tally.statistics(share=position.share, now=now)
        if position.step < len(self._spec.steps) or self._stable_before is None:
            return found
        return replace(found, sums={**found.sums, Arm.STABLE: self._stable_before.sums[Arm.STABLE]})

    def _restarted_since(self, stored: StoredBatch) -> bool:
        return stored.batch.step == self._position.step and stored.at < self._position.judged_since

    def _begin(self, step: int) -> None:
        before = self._tally
        if step >= len(self._spec.steps):
            self._stable_before = before.statistics(share=self._spec.steps[-1], now=self._position.judged_since)
        known = before.units_before if step == self._step else before.known_units
        self._tally = StepTally(step, self._spec.guardrails, before.thresholds, known)
        self._step = step
