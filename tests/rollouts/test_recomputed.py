"""A second implementation, written plainly and from receipts alone, comes to the same numbers as the decision's."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import pytest

from tests.support.rollout_observations import SPEC, drawn, observation
from trivet.rollouts.judgement.case import Health
from trivet.rollouts.judgement.decisions import decide
from trivet.rollouts.judgement.evidence import Test
from trivet.rollouts.observation import Exclusion, Observation, Outcome
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.states import Event, Position, State
from trivet.rollouts.tallying.tally import StepTally
from trivet.types.rollout import Arm

POSITION = Position(State.CANARY, step=1, share=0.5, since=0.0, judged_since=0.0)
Units = dict[tuple[str, Arm], list[dict[str, float]]]


def _counted(receipts: list[Observation]) -> Units:
    """The first 20 requests of each unit and arm, each as its numbers."""
    units: Units = defaultdict(list)
    last: dict[tuple[str, str], float] = {}
    times: list[float] = []
    costs: list[float] = []
    tau = cap = None
    for one in receipts:
        left_out = one.synthetic or one.shadow or one.forced or one.holdout or one.cold or one.unit is None
        if left_out or one.outcome in (Outcome.REFUSED, Outcome.CLIENT_FAULT):
            continue
        assert one.unit is not None
        key = (one.unit, one.text)
        retry = one.at - last.get(key, -math.inf) <= 10
        last[key] = one.at
        if retry or len(units[one.unit, one.arm]) == 20:
            continue
        row = {"error": float(one.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)), "degraded": float(one.degraded)}
        if one.outcome is Outcome.ANSWERED and one.format_valid is not None:
            row["format"] = 0.0 if one.format_valid else 1.0
        if one.feedback is not None:
            row["feedback"] = 1 - one.feedback
        if tau is not None:
            if one.ttft_ms is not None:
                row["ttft"] = 1.0 if one.ttft_ms > tau else 0.0
            elif one.outcome is Outcome.TIMED_OUT or (
                one.outcome is Outcome.CANCELLED and one.total_ms is not None and one.total_ms > tau
            ):
                row["ttft"] = 1.0
        if cap is not None and one.cost_nano_usd is not None:
            row["cost"] = min(one.cost_nano_usd / cap, 1.0)
        units[one.unit, one.arm].append(row)
        if one.arm is Arm.STABLE:
            if one.ttft_ms is not None or one.outcome is Outcome.TIMED_OUT:
                times.append(math.inf if one.ttft_ms is None else one.ttft_ms)
            if one.cost_nano_usd is not None:
                costs.append(one.cost_nano_usd)
            if len(times) == 500:
                tau, times = sorted(times)[474], []
            if len(costs) == 500:
                cap, costs = sorted(costs)[497], []
    return units


def _rate(units: Units, arm: Arm, kind: str) -> tuple[float, float, int, float]:
    """R, V, units, and the sum of n^2 over the square of the sum of n."""
    rows = [[row[kind] for row in requests if kind in row] for (_, side), requests in units.items() if side is arm]
    rows = [row for row in rows if row]
    n = sum(len(row) for row in rows)
    rate = sum(sum(row) for row in rows) / n
    spread = sum((sum(row) - rate * len(row)) ** 2 for row in rows)
    return rate, spread / n**2 * len(rows) / (len(rows) - 1), len(rows), sum(len(row) ** 2 for row in rows) / n**2


def _bound(one: int, other: int, alpha: float) -> float:
    inner = -2 * math.log(2 * alpha)
    x = one * other / (one + other) * (inner + math.log(1 + inner)) / 100
    return math.sqrt(2 * (1 + 1 / x) * math.log(1 + math.sqrt(1 + x) / (2 * alpha)))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("bad", [0.05, 0.4])
def test_each_decision_can_be_repeated_from_receipts(seed: int, bad: float) -> None:
    receipts = drawn(seed, 6000, bad=bad)
    tally = StepTally(1, SPEC.guardrails)
    for one in receipts:
        tally.add(one)
    found = decide(SPEC, POSITION, tally.statistics(share=0.5, now=600.0), Health(), 600.0)
    assert (found.event is Event.ROLLBACK) == (bad > 0.1), found.message
    assert found.evidence is not None
    units = _counted(receipts)
    rollbacks = [test for test in found.evidence.tests if test.test is Test.ROLLBACK]
    assert len(rollbacks) == len(SPEC.guardrails)
    for test in rollbacks:
        rate0, variance0, units0, _ = _rate(units, Arm.STABLE, test.kind.value)
        rate1, variance1, units1, _ = _rate(units, Arm.CANDIDATE, test.kind.value)
        z = (rate1 - rate0) / math.sqrt(variance0 + variance1)
        bound = _bound(units0, units1, SPEC.alpha / 12)
        assert (test.stable[0], test.candidate[0]) == (units0, units1)
        assert test.estimate == pytest.approx(rate1 - rate0, abs=1e-9)
        assert test.z == pytest.approx(z, abs=1e-9)
        assert test.boundary == pytest.approx(bound, abs=1e-9)
        assert test.crossed == (z > bound and units0 >= 30 and units1 >= 30)


def test_a_proof_can_be_repeated_from_receipts() -> None:
    wide = tuple(replace(guardrail, margin=0.15) for guardrail in SPEC.guardrails if guardrail.required)
    spec = replace(SPEC, guardrails=wide)
    receipts = drawn(5, 6000)
    tally = StepTally(1, wide)
    for one in receipts:
        tally.add(one)
    found = decide(spec, POSITION, tally.statistics(share=0.5, now=600.0), Health(), 600.0)
    assert found.evidence is not None
    proofs = [test for test in found.evidence.tests if test.test is Test.PROMOTION]
    assert len(proofs) == 4
    assert any(test.crossed for test in proofs)
    units = _counted(receipts)
    for test in proofs:
        rate0, variance0, units0, design0 = _rate(units, Arm.STABLE, test.kind.value)
        rate1, variance1, units1, design1 = _rate(units, Arm.CANDIDATE, test.kind.value)
        at = rate0 + 0.15
        requests = sum(
            test.kind.value in row for (_, arm), rows in units.items() if arm is Arm.CANDIDATE for row in rows
        )
        at_margin = variance0 * design1 / design0 * at * (1 - at) / (rate0 * (1 - rate0))
        variance1 = max(variance1, at_margin, at * (1 - at) / requests)
        z = (rate1 - at) / math.sqrt(variance0 + variance1)
        assert test.z == pytest.approx(z, abs=1e-9)
        assert test.crossed == (z < -_bound(units0, units1, 0.05))


def test_what_is_left_out_is_counted() -> None:
    tally = StepTally(0, SPEC.guardrails)
    for number in range(25):
        tally.add(observation(number, unit="bot", outcome=Outcome.FAILED))
    assert tally.add(observation(24, unit="bot", at=25.0)) is Exclusion.REPEATED
    assert tally.add(observation(99, cold=True)) is Exclusion.COLD
    found = tally.statistics(share=0.05, now=100.0)
    assert found.exclusions == {Exclusion.BEYOND_FIRST: 5, Exclusion.REPEATED: 1, Exclusion.COLD: 1}
    assert found.counted == 20
    assert found.sums[Arm.STABLE][GuardrailKind.ERROR].values() == (1, 20, 20, 400, 400, 400)


def test_units_of_earlier_steps_are_no_new_ones() -> None:
    tally = StepTally(1, (Guardrail(GuardrailKind.ERROR),), first_steps={"unit-0": 0, "unit-1": 0})
    for number in range(5):
        tally.add(observation(number, step=1))
    found = tally.statistics(share=0.05, now=0.0)
    assert (found.units[Arm.STABLE], found.new_units[Arm.STABLE]) == (5, 3)


def test_the_smoke_rule_bets_when_a_units_time_has_passed() -> None:
    tally = StepTally(0, (Guardrail(GuardrailKind.ERROR),))
    for number in range(40):
        bad = number >= 20
        arm = Arm.CANDIDATE if bad else Arm.STABLE
        tally.add(observation(number, arm=arm, outcome=Outcome.FAILED if bad else Outcome.ANSWERED))
    assert tally.statistics(share=0.01, now=200.0).log_wealth[GuardrailKind.ERROR] == 0
    assert tally.statistics(share=0.01, now=400.0).log_wealth[GuardrailKind.ERROR] > 10


def test_requests_of_another_step_are_refused() -> None:
    with pytest.raises(ValueError, match="a request of step 0, expected one of step 3"):
        StepTally(3, SPEC.guardrails).add(observation())
