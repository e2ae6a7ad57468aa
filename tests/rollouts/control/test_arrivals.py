"""The candidate alone is cold at first: its units still count as units, or it would seem to get too few."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.rollout_observations import observation as made
from tests.support.rollout_world import EQUAL, ROUTE, SPEC, Gateway, World, started
from trivet.rollouts.control import replay as replay_module
from trivet.rollouts.control.batches import StepReport, pack, unpack
from trivet.rollouts.control.recorder import MOST_ARRIVED, Recorder
from trivet.rollouts.control.replay import Replay
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.observation import Exclusion, Observation
from trivet.rollouts.tallying.tally import StepTally
from trivet.types.rollout import Arm
from trivet.types.rollout_state import ObservationBatch, StoredBatch

SMALL = replace(SPEC, steps=(0.05, 0.5), minimum_seconds=1000.0)
COLD = 20  # the candidate's first requests on each gateway


class ColdGateway(Gateway):
    """Marks the candidate's first requests as cold."""

    def __post_init__(self) -> None:
        super().__post_init__()
        warm, self.left = self.recorder.observe, COLD

        def observe(rollout: str, observation: Observation) -> None:
            cold = observation.arm is Arm.CANDIDATE and self.left > 0
            self.left -= cold
            warm(rollout, replace(observation, cold=cold))

        self.recorder.observe = observe  # type: ignore[method-assign]


async def test_a_candidate_that_is_cold_at_first_is_no_sample_ratio_mismatch(world: World) -> None:
    (operator,) = await started(world, 1, SMALL)
    gateways = [ColdGateway(f"c{number}", world.store, world.clock, SMALL, world.folder) for number in range(4)]
    draws, asked = random.Random(5), 0
    for second in range(60):
        for gateway in gateways:
            for _ in range(15):
                unit = f"unit-{draws.randrange(5000)}"
                asked += gateway.answer(unit, f"{second}-{asked}", EQUAL, draws) is not None
        world.clock.now += 1
        for each in [operator, *gateways]:
            await each.second()
        record = (await world.store.current())[ROUTE]
        assert record.state != "halted", record.message
    look = (await operator.operations.status(ROUTE)).look
    assert look is not None
    evidence = look.decision.evidence
    assert evidence is not None
    assert evidence.exclusions[Exclusion.COLD] == COLD * len(gateways)
    new, counted = evidence.new_units, evidence.units
    assert new[Arm.CANDIDATE] > counted[Arm.CANDIDATE]
    assert 0.03 < new[Arm.CANDIDATE] / sum(new.values()) < 0.07


async def test_units_that_arrive_are_told_once_and_never_without_bound() -> None:
    batches: list[ObservationBatch] = []

    async def append(new: list[ObservationBatch]) -> int:
        batches.extend(new)
        return len(new)

    recorder = Recorder(append, "g", Timing())
    recorder.observe("r", made(1, unit="counted"))
    for number in range(MOST_ARRIVED + 2):
        for _ in range(2):
            recorder.observe("r", made(number + 2, unit=f"u{number}", cold=True))
    recorder.observe("r", made(1, unit="counted", cold=True))
    await recorder.flush()
    reports = [unpack(StoredBatch(number, 0.0, batch)) for number, batch in enumerate(batches, 1)]
    told = [one for report in reports for one in report.arrived]
    assert len(told) == len(set(told)) == MOST_ARRIVED
    assert ("counted", Arm.STABLE) not in told
    assert sum(report.lost for report in reports) == 4
    assert max(len(batch.data) for batch in batches) < 100_000


def test_at_a_change_of_steps_nothing_is_copied_and_nothing_freed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "_SHED", 20)
    replay = Replay(SMALL)

    def take(step: int, *observations: Observation) -> StepTally:
        number = replay.number + 1
        data = pack(StepReport(observations), float(number))
        replay.take(StoredBatch(number, float(number), ObservationBatch("r", step, "g", "e", number, data)))
        return replay._tally

    first = take(0, *(made(number) for number in range(30)))
    second = take(1, *(made(number, step=1) for number in range(20, 40)))
    assert second.first_steps is first.first_steps
    assert second.statistics(share=0.5, now=1.0).new_units[Arm.STABLE] == 10
    assert len(first._units) == 30
    sizes = []
    for _ in range(5):
        take(1)
        sizes.append(len(first._requests) + len(first._units) + len(first._arrived))
    assert sizes == [70, 50, 30, 10, 0]
    assert not replay._over
