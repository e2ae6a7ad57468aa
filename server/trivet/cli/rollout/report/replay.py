"""Judging a rollout again from its observations: what a controller saw, look by look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trivet.cli.rollout.report.history import Reading
from trivet.rollouts.evidence import GuardrailEvidence
from trivet.rollouts.judging import promotion_tests, rollback_tests
from trivet.rollouts.observation import Observation
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.tally import StepTally
from trivet.rollouts.thresholds import Thresholds

LOOKS = 100  # of a step: as many as a plot can show


@dataclass(frozen=True, slots=True)
class StepObservations:
    """A step's observations in the order in which the controller judged them, and what it knew when the step began."""

    step: int
    share: float
    observations: Sequence[Observation]
    thresholds: Thresholds | None = None
    known_units: frozenset[str] = frozenset()


def looks(spec: RolloutSpec, steps: Iterable[StepObservations]) -> Iterator[Reading]:
    """Each test of each step, at about `LOOKS` moments of it; the last one is after the step's last observation."""
    for data in steps:
        tally = StepTally(data.step, spec.guardrails, data.thresholds, data.known_units)
        stride = max(len(data.observations) // LOOKS, 1)
        for number, observation in enumerate(data.observations, 1):
            tally.add(observation)
            if number % stride == 0 or number == len(data.observations):
                yield from _look(spec, tally, data, observation.at)


def _look(spec: RolloutSpec, tally: StepTally, data: StepObservations, now: float) -> Iterator[Reading]:
    statistics = tally.statistics(share=data.share, now=now)
    tests = list(rollback_tests(spec, statistics))
    if data.step == len(spec.steps) - 1:
        tests += promotion_tests(spec, statistics)
    for test in tests:
        yield _tested(test, data.step, now)


def _tested(test: GuardrailEvidence, step: int, at: float) -> Reading:
    low, high = test.interval or (None, None)
    return Reading(
        at=at,
        step=step,
        guardrail=test.kind.value,
        test=test.test.value,
        estimate=test.estimate,
        low=low,
        high=high,
        z=test.z,
        boundary=test.boundary,
        crossed=test.crossed,
        stable=test.stable,
        candidate=test.candidate,
        audited=False,
    )
