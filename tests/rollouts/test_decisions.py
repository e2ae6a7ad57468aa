"""Decisions: what rolls back, what halts, what has to be there before a rollout moves on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.rollout_observations import SPEC
from trivet.rollouts.judgement.case import Health, Reason
from trivet.rollouts.judgement.decisions import Decision, decide
from trivet.rollouts.observation import Exclusion
from trivet.rollouts.spec import Approval, GuardrailKind
from trivet.rollouts.states import Event, Position, State
from trivet.rollouts.statistics import ArmSums
from trivet.rollouts.tallying.tally import StepStatistics
from trivet.types.rollout import Arm

NOW = 1000.0
CANARY = Position(State.CANARY, step=0, share=0.05, since=900.0, judged_since=900.0)
LAST = replace(CANARY, step=1, share=0.5)
KINDS = [guardrail.kind for guardrail in SPEC.guardrails]
WELL = Health()


def _arm(units: int, bad: int = 0, n: int = 4) -> ArmSums:
    return ArmSums.of(np.full(units, float(n)), np.where(np.arange(units) < bad, float(n), 0.0))


def _statistics(
    step: int = 0, units: tuple[int, int] = (1900, 100), bad: dict[GuardrailKind, tuple[int, int]] | None = None
) -> StepStatistics:
    """Both arms with 1% of units that fail, but for `bad`."""
    counts = dict(zip(Arm, units, strict=True))
    sums = {
        arm: {
            kind: _arm(counts[arm], (bad or {}).get(kind, (units[0] // 100, units[1] // 100))[index]) for kind in KINDS
        }
        for index, arm in enumerate(Arm)
    }
    return StepStatistics(
        step=step,
        sums=sums,
        units=counts,
        new_units=counts,
        log_wealth=dict.fromkeys(KINDS, 0.0),
        exclusions={},
        counted=4 * sum(units),
        last_counted=dict.fromkeys(Arm, NOW - 1),
    )


EVEN = _statistics(step=1, units=(4000, 4000))
BROKEN = {GuardrailKind.FORMAT: (19, 80)}


def _decide(position: Position = CANARY, statistics: StepStatistics | None = None, health: Health = WELL) -> Decision:
    return decide(SPEC, position, statistics or _statistics(), health, NOW)


def test_a_step_that_has_all_it_needs_advances() -> None:
    found = _decide()
    assert (found.event, found.reason) == (Event.ADVANCE, Reason.PASSED)
    assert found.evidence is not None
    assert len(found.evidence.tests) == len(KINDS)


def test_the_last_step_promotes_what_is_proven() -> None:
    found = _decide(LAST, EVEN)
    assert found.event is Event.PROMOTE, found.message
    assert found.evidence is not None
    assert [test.crossed for test in found.evidence.tests if test.test.value == "promotion"] == [True] * 4


def test_what_is_not_proven_waits_and_says_what_for() -> None:
    found = _decide(LAST, _statistics(step=1, units=(200, 200)))
    assert (found.event, found.reason) == (None, Reason.NOT_PROVEN)
    assert "error (z " in found.message


@pytest.mark.parametrize("state", [State.CANARY, State.AWAITING_APPROVAL, State.HALTED, State.WARMING])
def test_a_broken_candidate_is_rolled_back_wherever_it_is(state: State) -> None:
    found = _decide(replace(CANARY, state=state), _statistics(bad=BROKEN))
    assert (found.event, found.reason) == (Event.ROLLBACK, Reason.GUARDRAIL_CROSSED)
    assert found.message.startswith("format: the candidate is +")


def test_a_rollback_does_not_wait_for_whole_data() -> None:
    found = _decide(statistics=_statistics(bad=BROKEN), health=Health(holes=("5 s of gateway-1",)))
    assert found.event is Event.ROLLBACK


@pytest.mark.parametrize("state", [State.CANARY, State.AWAITING_APPROVAL])
@pytest.mark.parametrize(
    ("health", "reason", "text"),
    [
        (Health(holes=("the store was away for 12 s",)), Reason.DATA_HOLE, "the store was away for 12 s"),
        (Health(stable_slowdown=1.6), Reason.STABLE_SLOWED, "1.60 times"),
    ],
)
def test_data_that_cannot_be_trusted_halt(state: State, health: Health, reason: Reason, text: str) -> None:
    found = _decide(replace(CANARY, state=state), health=health)
    assert (found.event, found.reason) == (Event.HALT, reason)
    assert text in found.message


def test_units_out_of_ratio_halt_with_the_cause() -> None:
    statistics = replace(_statistics(), new_units={Arm.STABLE: 1950, Arm.CANDIDATE: 50})
    found = _decide(statistics=statistics, health=Health(mismatch_cause="gateway-2 counts no candidate"))
    assert (found.event, found.reason) == (Event.HALT, Reason.SAMPLE_RATIO_MISMATCH)
    assert "gateway-2 counts no candidate" in found.message


@pytest.mark.parametrize("position", [CANARY, LAST, replace(CANARY, state=State.AWAITING_APPROVAL)])
def test_silence_halts(position: Position) -> None:
    statistics = replace(EVEN if position is LAST else _statistics(), last_counted={})
    position = replace(position, since=NOW - SPEC.silence_seconds - 1)
    found = decide(SPEC, position, statistics, WELL, NOW)
    assert (found.event, found.reason) == (Event.HALT, Reason.NO_DATA)


def test_a_small_arm_may_be_silent_for_longer() -> None:
    early = replace(CANARY, since=0.0, judged_since=0.0)
    quiet = replace(_statistics(), last_counted={Arm.STABLE: NOW, Arm.CANDIDATE: NOW - 500})
    assert _decide(early, quiet).event is Event.ADVANCE
    found = _decide(replace(early, step=1, share=0.5), replace(EVEN, last_counted=quiet.last_counted))
    assert (found.event, found.reason) == (Event.HALT, Reason.NO_DATA)
    assert "No request of candidate" in found.message


def test_a_guardrail_that_nothing_is_known_of_halts_by_name() -> None:
    statistics = _statistics()
    sums = {arm: {**kinds, GuardrailKind.FORMAT: _arm(0)} for arm, kinds in statistics.sums.items()}
    found = _decide(statistics=replace(statistics, sums=sums))
    assert (found.event, found.reason) == (Event.HALT, Reason.MISSING_DATA)
    assert found.message.startswith("format: ")


@pytest.mark.parametrize("position", [CANARY, LAST])
def test_a_guardrail_with_few_units_waits_by_name(position: Position) -> None:
    statistics = _statistics(step=position.step) if position is CANARY else EVEN
    candidate = {**statistics.sums[Arm.CANDIDATE], GuardrailKind.FEEDBACK: _arm(29)}
    found = _decide(position, replace(statistics, sums={**statistics.sums, Arm.CANDIDATE: candidate}))
    assert (found.event, found.reason) == (None, Reason.MISSING_DATA)
    assert "feedback has 29 units of candidate" in found.message


def test_time_and_units_are_waited_for() -> None:
    assert _decide(replace(CANARY, judged_since=NOW - 59)).reason is Reason.MINIMUM_TIME
    assert _decide(statistics=_statistics(units=(900, 49))).reason is Reason.MINIMUM_UNITS


@pytest.mark.parametrize("position", [CANARY, LAST])
def test_no_step_before_the_candidate_is_warm_everywhere(position: Position) -> None:
    statistics = _statistics() if position is CANARY else EVEN
    found = _decide(position, statistics, Health(waiting_for=("gateway-2",)))
    assert (found.event, found.reason) == (None, Reason.NOT_WARM)


def test_undecided_for_too_long_halts_with_the_interval() -> None:
    late = replace(LAST, judged_since=NOW - SPEC.maximum_seconds - 1)
    found = _decide(late, _statistics(step=1, units=(200, 200)))
    assert (found.event, found.reason) == (Event.HALT, Reason.MAXIMUM_TIME)
    assert "error beyond its margin by -" in found.message


def test_requests_without_a_unit_forbid_a_promotion() -> None:
    found = _decide(LAST, replace(EVEN, exclusions={Exclusion.NO_UNIT: 2000}))
    assert (found.event, found.reason) == (None, Reason.TOO_MANY_WITHOUT_UNIT)
    assert _decide(LAST, replace(EVEN, exclusions={Exclusion.NO_UNIT: 1500})).event is Event.PROMOTE


@pytest.mark.parametrize(
    ("approval", "position", "expected"),
    [
        (Approval.PROMOTION, CANARY, Event.ADVANCE),
        (Approval.PROMOTION, LAST, Event.REQUEST_APPROVAL),
        (Approval.EVERY_STEP, CANARY, Event.REQUEST_APPROVAL),
        (Approval.EVERY_STEP, LAST, Event.REQUEST_APPROVAL),
    ],
)
def test_approval_is_asked_for(approval: Approval, position: Position, expected: Event) -> None:
    spec = replace(SPEC, approval=approval)
    statistics = _statistics() if position is CANARY else EVEN
    assert decide(spec, position, statistics, WELL, NOW).event is expected
    waiting = replace(position, state=State.AWAITING_APPROVAL)
    assert decide(spec, waiting, statistics, WELL, NOW).event is None


def test_warming_ends_when_all_are_warm_or_halts() -> None:
    warming = Position(State.WARMING, since=NOW - 10)
    nothing = replace(_statistics(units=(0, 0)), step=-1)
    assert decide(SPEC, warming, nothing, Health(waiting_for=("gateway-1",)), NOW).event is None
    assert decide(SPEC, warming, nothing, WELL, NOW).event is Event.BEGIN_CANARY
    assert decide(replace(SPEC, shadow_seconds=60.0), warming, nothing, WELL, NOW).event is Event.BEGIN_SHADOW
    late = replace(warming, since=NOW - 601)
    assert decide(SPEC, late, nothing, Health(waiting_for=("gateway-1",)), NOW).event is Event.HALT


def test_the_smoke_rule_judges_the_first_percent() -> None:
    spec = replace(SPEC, steps=(0.01, 0.5))
    smoke = replace(CANARY, share=0.01)
    even = _statistics(units=(1980, 20), bad=BROKEN)
    assert decide(spec, smoke, even, WELL, NOW).event is Event.ADVANCE
    found = decide(spec, smoke, replace(even, log_wealth={**even.log_wealth, GuardrailKind.ERROR: 6.0}), WELL, NOW)
    assert found.event is Event.ROLLBACK
    assert "error: the smoke rule" in found.message


def test_a_soak_needs_its_time_and_traffic_and_still_goes_back() -> None:
    soaking = Position(State.SOAKING, step=2, share=1.0, since=NOW - 4000, judged_since=NOW - 4000)
    even = replace(EVEN, step=2)
    assert _decide(soaking, even).event is Event.FINISH
    assert _decide(replace(soaking, since=NOW - 100), even).reason is Reason.MINIMUM_TIME
    assert _decide(soaking, replace(even, last_counted={})).reason is Reason.NO_DATA
    assert _decide(soaking, even, Health(holes=("x",))).reason is Reason.DATA_HOLE
    broken = _statistics(step=2, units=(4000, 4000), bad={GuardrailKind.ERROR: (40, 400)})
    assert _decide(soaking, broken).event is Event.ROLLBACK
    drifted = _statistics(step=2, units=(4000, 4000), bad={GuardrailKind.FORMAT: (40, 110)})
    assert _decide(soaking, drifted).event is Event.FINISH, "within the margin: another time may be another level"


@pytest.mark.parametrize("state", [State.PENDING, State.PROMOTED, State.ROLLED_BACK, State.CANCELLED])
def test_nothing_is_judged_that_does_not_run(state: State) -> None:
    found = decide(SPEC, replace(CANARY, state=state), _statistics(bad=BROKEN), WELL, NOW)
    assert (found.event, found.reason) == (None, Reason.NOTHING_TO_JUDGE)


def test_statistics_of_another_step_are_refused() -> None:
    with pytest.raises(ValueError, match="statistics of step 1, expected those of step 0"):
        _decide(CANARY, EVEN)
