"""Statistics that are kept while observations come in equal those that are made of all of them at once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from tests.support.rollout_observations import SPEC, drawn, observation
from trivet.rollouts.observation import Outcome
from trivet.rollouts.smoke import BettingProcess, log_wealth
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.statistics import ArmSums
from trivet.rollouts.tallying.guardrails import numbers
from trivet.rollouts.tallying.tally import StepTally
from trivet.types.rollout import Arm

BINARY = (GuardrailKind.ERROR, GuardrailKind.FORMAT, GuardrailKind.DEGRADED, GuardrailKind.TTFT)
FEEDBACK = (Guardrail(GuardrailKind.FEEDBACK), Guardrail(GuardrailKind.FEEDBACK_RESPONSE))


@pytest.mark.parametrize("seed", range(4))
def test_running_sums_equal_those_over_arrays(seed: int) -> None:
    tally = StepTally(1, SPEC.guardrails)
    units: dict[tuple[Arm, GuardrailKind], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in drawn(seed, 5000):
        limits = tally.thresholds
        if tally.add(one) is None:
            assert one.unit is not None
            for kind, number in numbers(one, SPEC.guardrails, limits).items():
                units[one.arm, kind][one.unit].append(number)
    found = tally.statistics(share=0.5, now=600.0)
    assert found.counted > 2000
    for (arm, kind), rows in units.items():
        counts = np.array([len(row) for row in rows.values()], dtype=np.float64)
        expected = ArmSums.of(counts, np.array([sum(row) for row in rows.values()])).values()
        if kind in BINARY:
            assert found.sums[arm][kind].values() == expected
        assert found.sums[arm][kind].values() == pytest.approx(expected, rel=1e-13)
    assert found.units[Arm.STABLE] == len(
        {unit for (arm, _), rows in units.items() if arm is Arm.STABLE for unit in rows}
    )


def test_the_order_of_requests_does_not_matter_to_the_sums() -> None:
    cost = (Guardrail(GuardrailKind.COST, ratio=1.1),)
    one, other = StepTally(1, cost), StepTally(1, cost)
    costs = [observation(number, at=0.0, step=1, cost_nano_usd=17 * number + 3) for number in range(600)]
    later = [replace(item, request_id=f"again-{item.request_id}", text=f"again-{item.text}") for item in costs[:300]]
    for tally, order in ((one, later), (other, later[::-1])):
        for item in (*costs, *order):
            tally.add(item)
    found, again = (tally.statistics(share=0.5, now=1.0).sums[Arm.STABLE] for tally in (one, other))
    assert found[GuardrailKind.COST].values() == again[GuardrailKind.COST].values()


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_betting_unit_by_unit_equals_betting_on_all(share: float) -> None:
    draws = np.random.default_rng(7)
    means, candidate = draws.random(2000), draws.random(2000) < share
    process, expected = BettingProcess(share, 0.02), log_wealth(means, candidate, share=share, tolerance=0.02)
    assert process.highest == 0.0
    for number, (mean, side) in enumerate(zip(means, candidate, strict=True)):
        process.add(float(mean), candidate=bool(side))
        assert process.highest == pytest.approx(expected[: number + 1].max(), abs=1e-9)


def test_looking_often_changes_nothing() -> None:
    guardrails = (Guardrail(GuardrailKind.ERROR),)
    often, once = StepTally(0, guardrails), StepTally(0, guardrails)
    for number in range(400):
        arm = Arm.CANDIDATE if number % 50 == 0 else Arm.STABLE
        bad = Outcome.FAILED if number % 50 == 0 else Outcome.ANSWERED
        for again in range(3):
            one = observation(number, arm=arm, outcome=bad, at=2.0 * number + again, text=f"{number}-{again}")
            one = replace(one, request_id=f"{number}-{again}")
            often.add(one)
            once.add(one)
        often.statistics(share=0.01, now=2.0 * number + 3)
    found = [tally.statistics(share=0.01, now=2000.0).log_wealth[GuardrailKind.ERROR] for tally in (often, once)]
    assert found[0] == found[1] > 5


def test_feedback_that_comes_late_counts_for_its_request() -> None:
    tally = StepTally(0, FEEDBACK)
    for number in range(3):
        tally.add(observation(number))

    def sums(kind: GuardrailKind) -> tuple[float, ...]:
        return tally.statistics(share=0.5, now=9.0).sums[Arm.STABLE][kind].values()

    assert sums(GuardrailKind.FEEDBACK) == (0, 0, 0, 0, 0, 0)
    assert sums(GuardrailKind.FEEDBACK_RESPONSE) == (3, 3, 0, 3, 0, 0)
    assert tally.add_feedback("unit-1", observation(1).request_id, 0.25)
    assert sums(GuardrailKind.FEEDBACK) == (1, 1, 0.75, 1, 0.75, 0.5625)
    assert sums(GuardrailKind.FEEDBACK_RESPONSE) == (3, 3, 1, 3, 1, 1)
    assert tally.add_feedback("unit-1", observation(1).request_id, 1.0), "somebody changed their mind"
    assert sums(GuardrailKind.FEEDBACK) == (1, 1, 0, 1, 0, 0)
    assert sums(GuardrailKind.FEEDBACK_RESPONSE) == (3, 3, 1, 3, 1, 1)
    assert not tally.add_feedback("unit-2", observation(1).request_id, 0.0), "another unit has a request of that id"
    assert tally.add_feedback("unit-1", observation(1).request_id, None), "somebody took it back"
    assert sums(GuardrailKind.FEEDBACK) == (0, 0, 0, 0, 0, 0)
    assert sums(GuardrailKind.FEEDBACK_RESPONSE) == (3, 3, 0, 3, 0, 0)


def test_feedback_on_what_does_not_count_changes_nothing() -> None:
    tally = StepTally(0, FEEDBACK)
    tally.add(observation(1, cold=True))
    assert not tally.add_feedback("unit-1", observation(1).request_id, 0.0)
    assert not tally.add_feedback("unit-1", "unknown", 0.0)


def test_late_and_early_feedback_come_to_the_same() -> None:
    late, early = StepTally(0, FEEDBACK), StepTally(0, FEEDBACK)
    late.add(observation(1))
    late.add_feedback("unit-1", observation(1).request_id, 0.3)
    early.add(observation(1, feedback=0.3))
    assert late.statistics(share=0.5, now=1.0) == early.statistics(share=0.5, now=1.0)


def test_a_step_takes_over_who_was_seen_without_a_copy_and_begins_anew_with_its_own() -> None:
    error = (Guardrail(GuardrailKind.ERROR),)
    first = StepTally(0, error)
    for unit in ("a", "b"):
        first.arrive(unit, Arm.STABLE)
    second = StepTally(1, error, first_steps=first.first_steps)
    again = StepTally(1, error, first_steps=second.first_steps)
    assert again.first_steps is first.first_steps
    for tally in (second, again):
        for unit, arm in (("b", Arm.STABLE), ("c", Arm.STABLE), ("c", Arm.CANDIDATE), ("c", Arm.STABLE)):
            tally.arrive(unit, arm)
        assert tally.statistics(share=0.5, now=1.0).new_units == {Arm.STABLE: 1, Arm.CANDIDATE: 1}
    third = StepTally(2, error, first_steps=again.first_steps)
    third.arrive("c", Arm.CANDIDATE)
    assert third.statistics(share=0.5, now=1.0).new_units == {Arm.STABLE: 0, Arm.CANDIDATE: 0}


def test_a_step_that_is_over_is_freed_bit_by_bit() -> None:
    tally = StepTally(0, SPEC.guardrails)
    for number in range(30):
        tally.add(observation(number, at=float(number)))
    left = [tally.shed(20) for _ in range(5)]  # 30 requests, 30 units, and that they arrived
    assert left == [True, True, True, True, False]
