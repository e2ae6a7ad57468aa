"""What counts, what does not, and what number it gives: one case each."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.rollout_observations import observation
from trivet.rollouts.observation import Exclusion, Outcome, RetryWindow, exclusion
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.tallying.guardrails import numbers
from trivet.rollouts.tallying.thresholds import StableBlocks, Thresholds, quantile
from trivet.types.rollout import Arm

ALL = tuple(Guardrail(kind) for kind in GuardrailKind)
LIMITS = Thresholds(ttft_ms=200.0, total_ms=1000.0, cost_nano_usd=2000.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"outcome": Outcome.TIMED_OUT}, None),
        ({"outcome": Outcome.CANCELLED}, None),
        ({"outcome": Outcome.FAILED}, None),
        ({"outcome": Outcome.REFUSED}, Exclusion.REFUSED),
        ({"outcome": Outcome.CLIENT_FAULT}, Exclusion.CLIENT_FAULT),
        ({"unit": None}, Exclusion.NO_UNIT),
        ({"cold": True}, Exclusion.COLD),
        ({"forced": True}, Exclusion.FORCED),
        ({"holdout": True}, Exclusion.HOLDOUT),
        ({"shadow": True}, Exclusion.SHADOW),
        ({"shadow": True, "agreement": 1.0}, Exclusion.SHADOW),
        ({"shadow": True, "agreement": 1.0, "step": -1}, None),
        ({"synthetic": True, "unit": None}, Exclusion.SYNTHETIC),
    ],
)
def test_what_counts(changes: dict[str, Any], expected: Exclusion | None) -> None:
    assert exclusion(observation(**changes)) is expected


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (GuardrailKind.ERROR, {}, 0),
        (GuardrailKind.ERROR, {"outcome": Outcome.FAILED}, 1),
        (GuardrailKind.ERROR, {"outcome": Outcome.TIMED_OUT}, 1),
        (GuardrailKind.ERROR, {"outcome": Outcome.CANCELLED}, 0),
        (GuardrailKind.TTFT, {}, 0),
        (GuardrailKind.TTFT, {"ttft_ms": 200.0}, 0),
        (GuardrailKind.TTFT, {"ttft_ms": 200.1}, 1),
        (GuardrailKind.TTFT, {"ttft_ms": None, "outcome": Outcome.TIMED_OUT}, 1),
        (GuardrailKind.TTFT, {"ttft_ms": 50.0, "outcome": Outcome.TIMED_OUT}, 0),
        (GuardrailKind.TTFT, {"ttft_ms": None, "outcome": Outcome.FAILED}, None),
        (GuardrailKind.TTFT, {"ttft_ms": None, "outcome": Outcome.CANCELLED, "total_ms": 500.0}, 1),
        (GuardrailKind.TTFT, {"ttft_ms": None, "outcome": Outcome.CANCELLED, "total_ms": 90.0}, None),
        (GuardrailKind.TOTAL, {}, 0),
        (GuardrailKind.TOTAL, {"total_ms": 1001.0}, 1),
        (GuardrailKind.TOTAL, {"outcome": Outcome.TIMED_OUT}, 1),
        (GuardrailKind.TOTAL, {"outcome": Outcome.FAILED, "total_ms": 3.0}, None),
        (GuardrailKind.TOTAL, {"outcome": Outcome.CANCELLED, "total_ms": 3.0}, None),
        (GuardrailKind.TOTAL, {"outcome": Outcome.CANCELLED, "total_ms": 1500.0}, 1),
        (GuardrailKind.COST, {}, 0.5),
        (GuardrailKind.COST, {"cost_nano_usd": 9000}, 1),
        (GuardrailKind.COST, {"cost_nano_usd": None}, None),
        (GuardrailKind.FORMAT, {}, 0),
        (GuardrailKind.FORMAT, {"format_valid": False}, 1),
        (GuardrailKind.FORMAT, {"format_valid": None}, None),
        (GuardrailKind.FORMAT, {"format_valid": False, "outcome": Outcome.CANCELLED}, None),
        (GuardrailKind.DEGRADED, {"degraded": True}, 1),
        (GuardrailKind.CANCELLED, {}, 0),
        (GuardrailKind.CANCELLED, {"outcome": Outcome.CANCELLED}, 1),
        (GuardrailKind.FEEDBACK, {}, None),
        (GuardrailKind.FEEDBACK, {"feedback": 0.25}, 0.75),
        (GuardrailKind.FEEDBACK_RESPONSE, {}, 0),
        (GuardrailKind.FEEDBACK_RESPONSE, {"feedback": 1.0}, 1),
        (GuardrailKind.SHADOW_AGREEMENT, {"agreement": 0.75}, None),
        (GuardrailKind.SHADOW_AGREEMENT, {"agreement": 0.75, "shadow": True}, 0.25),
        (GuardrailKind.ERROR, {"shadow": True, "outcome": Outcome.FAILED}, None),
    ],
)
def test_the_number_of_a_request(kind: GuardrailKind, changes: dict[str, Any], expected: float | None) -> None:
    assert numbers(observation(**changes), ALL, LIMITS).get(kind) == expected


def test_without_limits_times_and_costs_say_nothing() -> None:
    found = numbers(observation(outcome=Outcome.TIMED_OUT), ALL, Thresholds())
    assert not {GuardrailKind.TTFT, GuardrailKind.TOTAL, GuardrailKind.COST} & set(found)


def test_a_slower_candidate_may_be_allowed_for() -> None:
    slower = (Guardrail(GuardrailKind.TTFT, slower=1.5),)
    assert numbers(observation(ttft_ms=250.0), slower, LIMITS) == {GuardrailKind.TTFT: 1.0}
    assert numbers(observation(ttft_ms=250.0, arm=Arm.CANDIDATE), slower, LIMITS) == {GuardrailKind.TTFT: 0.0}


def test_a_retry_is_the_same_observation() -> None:
    window = RetryWindow(seconds=10.0)
    assert not window.repeated(observation(1, at=0.0))
    assert window.repeated(observation(1, at=1.0)), "the same request id"
    assert window.repeated(observation(2, at=5.0, unit="unit-1", text="text-1")), "the same unit and text"
    assert not window.repeated(observation(3, at=5.0, unit="unit-9", text="text-1")), "another unit"
    assert not window.repeated(observation(4, at=5.0, unit="unit-1", text="text-2")), "another text"
    assert window.repeated(observation(5, at=14.0, unit="unit-1", text="text-1")), "10 s after the last one"
    assert not window.repeated(observation(6, at=25.0, unit="unit-1", text="text-1")), "later"


def test_the_window_forgets() -> None:
    window = RetryWindow(seconds=1000.0, capacity=10)
    for number in range(100):
        window.repeated(observation(number, at=0.0))
    assert len(window._last) <= 22
    assert not window.repeated(observation(0, at=0.0))


def test_a_quantile_is_one_of_the_values() -> None:
    assert quantile([float(one) for one in range(100, 0, -1)], 0.95) == 95
    assert quantile([3.0], 0.5) == 3
    with pytest.raises(ValueError, match="expected at least one"):
        quantile([], 0.5)


def test_a_request_never_sets_its_own_limit() -> None:
    blocks = StableBlocks(size=20)
    for number in range(20):
        assert blocks.thresholds.ttft_ms is None
        blocks.add(float(number), None, 7)
    assert blocks.thresholds == Thresholds(18.0, None, 7)
    blocks.add(math.inf, None, None)
    assert blocks.thresholds == Thresholds(18.0, None, 7), "until the next block is full"
