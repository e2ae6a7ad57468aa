"""Feedback on its way to the leader: with the gateway's reports, after the observations, for the request's own step."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import replace
from typing import Any

import pytest

from tests.support.rollout_observations import observation
from tests.support.rollout_world import ROUTE, SPEC, Gateway, World, started
from trivet.rollouts.control.batches import StepReport, pack, unpack
from trivet.rollouts.control.recorder import MOST_IN_A_BATCH, MOST_RATINGS, Recorder
from trivet.rollouts.control.replay import Replay
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.states import Position, State
from trivet.types.rollout import Arm
from trivet.types.rollout_state import ObservationBatch, StoredBatch

RATED = replace(
    SPEC,
    minimum_seconds=40.0,  # people take their time
    guardrails=(
        Guardrail(GuardrailKind.ERROR, margin=0.02, required=True),
        Guardrail(GuardrailKind.FEEDBACK, margin=0.05),
        Guardrail(
            GuardrailKind.FEEDBACK_RESPONSE, tolerance=0.2, margin=0.5
        ),  # salts are drawn: by chance one may differ
    ),
)
GOOD = {Arm.STABLE: 0.0, Arm.CANDIDATE: 0.0}


async def rated_traffic(world: World, gateways: list[Gateway], scores: dict[Arm, float], seconds: int) -> str:
    """Each answer is rated three seconds later, at the gateway that gave it. The state in the end."""
    draws = random.Random(1)
    waiting: list[tuple[int, Gateway, str, int, str, str, Arm]] = []
    for second in range(seconds):
        for number in range(60):
            gateway, unit, request = draws.choice(gateways), f"unit-{draws.randrange(2000)}", f"{second}-{number}"
            arm, rollout = gateway.answer(unit, request, GOOD, draws), gateway.routes.rollout
            if arm is not None and rollout is not None:
                waiting.append((second, gateway, rollout.id, rollout.step, unit, request, arm))
        while waiting and waiting[0][0] <= second - 3:
            _, gateway, rollout_id, step, unit, request, arm = waiting.pop(0)
            gateway.recorder.rate(rollout_id, step, unit, request, scores[arm])
        world.clock.now += 1
        for gateway in gateways:
            await gateway.second()
    return (await world.store.current())[ROUTE].state


async def test_a_candidate_that_people_like_less_is_rolled_back(world: World) -> None:
    gateways = await started(world, 2, RATED)
    assert await rated_traffic(world, gateways, {Arm.STABLE: 0.9, Arm.CANDIDATE: 0.2}, 38) == "rolled_back"
    last = (await world.store.transitions(ROUTE))[-1]
    (crossed,) = [test for test in json.loads(last.evidence)["evidence"]["tests"] if test["crossed"]]
    assert (last.reason, crossed["kind"]) == ("guardrail_crossed", "feedback")


async def test_a_candidate_that_people_like_as_much_goes_on(world: World) -> None:
    gateways = await started(world, 2, RATED)
    assert await rated_traffic(world, gateways, {Arm.STABLE: 0.9, Arm.CANDIDATE: 0.9}, 30) == "canary"


async def test_whoever_leads_next_comes_to_the_same(world: World) -> None:
    gateways = await started(world, 2, RATED)
    await rated_traffic(world, gateways, {Arm.STABLE: 0.9, Arm.CANDIDATE: 0.9}, 12)
    await gateways[0].second()  # the leader reads what the other has told last
    record = (await world.store.current())[ROUTE]
    position = Position(State(record.state), record.step, record.share, record.since, record.judged_since)
    found = []
    for _ in range(2):
        replay = Replay(RATED)
        for stored in await world.store.batches(record.id, limit=1000):
            replay.take(stored)
        found.append(replay.statistics(position, world.clock.now).sums)
    look = (await gateways[0].operations.status(ROUTE)).look
    assert look is not None
    assert look.decision.evidence is not None
    (known,) = {one.candidate for one in look.decision.evidence.tests if one.kind is GuardrailKind.FEEDBACK}
    again = [sums[Arm.CANDIDATE][GuardrailKind.FEEDBACK].values() for sums in found]
    assert again == [known, known]
    assert known[0] > 0


def stored(report: StepReport, number: int, step: int = 0) -> StoredBatch:
    return StoredBatch(number, 100.0, ObservationBatch("r", step, "g", "e", number, pack(report, 100.0)))


def feedback_of(replay: Replay) -> tuple[float, ...]:
    position = Position(State.CANARY, 1, 0.5)
    return replay.statistics(position, 200.0).sums[Arm.STABLE][GuardrailKind.FEEDBACK].values()


def test_feedback_on_an_earlier_step_counts_for_no_other() -> None:
    replay = Replay(RATED)
    one = observation(1, at=90.0)
    replay.take(stored(StepReport([one]), 1))
    replay.take(stored(StepReport([replace(one, step=1, request_id="later", text="other")]), 2, step=1))
    replay.take(stored(StepReport(feedback=[("unit-1", one.request_id, 0.0)]), 3))
    replay.take(stored(StepReport(feedback=[("unit-1", one.request_id, 0.0)]), 4, step=1))
    assert feedback_of(replay)[1] == 0
    replay.take(stored(StepReport(feedback=[("unit-1", "later", 0.25)]), 5, step=1))
    assert feedback_of(replay)[1:3] == (1, 0.75)


def test_a_report_of_an_earlier_version_has_none() -> None:
    told = {"observations": [], "excluded": {}, "last": {}, "lost": 2}
    batch = ObservationBatch("r", 0, "g", "e", 1, zlib.compress(json.dumps(told).encode()))
    assert unpack(StoredBatch(1, 100.0, batch)) == StepReport([], {}, {}, 2, [], [])


@pytest.mark.parametrize("row", [["u", "r", 1.5], ["u", "r", -0.1], ["u", "r"], ["u", "r", "much"], 7])
def test_feedback_that_is_none_is_refused_by_name(row: Any) -> None:
    told = {"observations": [], "excluded": {}, "last": {}, "lost": 0, "feedback": [row]}
    batch = ObservationBatch("r", 0, "g", "e", 1, zlib.compress(json.dumps(told).encode()))
    with pytest.raises(ValueError, match="no report of observations: g, batch 1"):
        unpack(StoredBatch(1, 100.0, batch))


async def test_reports_are_bounded_and_observations_come_first(world: World) -> None:
    sent: list[ObservationBatch] = []

    async def append(batches: list[ObservationBatch]) -> int:
        sent.extend(batches)
        return len(batches)

    recorder = Recorder(append, "g", world.clock.timing)
    for number in range(MOST_IN_A_BATCH + 1):
        recorder.observe("r", observation(number))
        recorder.rate("r", 0, f"unit-{number}", f"request-{number}", 0.0)
        recorder.rate("r", 0, f"unit-{number}", f"request-{number}", 0.5)
    await recorder.flush()
    reports = [unpack(StoredBatch(at + 1, 0.0, one)) for at, one in enumerate(sent)]
    found = [(len(one.observations), len(one.feedback)) for one in reports]
    assert found == [(MOST_IN_A_BATCH, 0), (1, 0), (0, MOST_IN_A_BATCH), (0, 1)]
    assert [len(one.last) for one in reports] == [1, 0, 0, 0]
    assert {score for one in reports for *_, score in one.feedback} == {0.5}, "the last word counts"
    sent.clear()
    await recorder.flush()
    assert sent == []


async def test_more_than_can_wait_is_told_as_lost(world: World) -> None:
    sent: list[ObservationBatch] = []

    async def append(batches: list[ObservationBatch]) -> int:
        sent.extend(batches)
        return len(batches)

    recorder = Recorder(append, "g", world.clock.timing)
    for number in range(MOST_RATINGS + 2):
        recorder.rate("r", 0, "unit", f"request-{number}", 1.0)
    recorder.rate("r", 0, "unit", "request-0", 0.0)  # on one that waits: no more to keep
    await recorder.flush()
    reports = [unpack(StoredBatch(at + 1, 0.0, one)) for at, one in enumerate(sent)]
    assert sum(len(one.feedback) for one in reports) == MOST_RATINGS
    assert sum(one.lost for one in reports) == 2
