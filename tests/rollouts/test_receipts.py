"""How each kind of ending shows in a receipt, and what a rollout makes of it: one case each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from trivet.rollouts.observation import Exclusion, Outcome, exclusion
from trivet.rollouts.receipts import observation_of
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.rollouts.tallying.guardrails import numbers
from trivet.rollouts.tallying.tally import StepTally
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.types.receipt import Cost, Receipt, UnitSource
from trivet.types.rollout import Arm, RouteRollout

ROLLOUT = RouteRollout("r1", "canary", 1, "old", "new", 0.5, 0.1, "salt")
RECEIPT = Receipt(
    request_id="q1", tenant="acme", route="ask", created_at=datetime(2026, 11, 1, tzinfo=UTC), code="OK", variant="new",
    unit_source=UnitSource.REQUEST, rollout="r1", rollout_step=1, unit_hash="a" * 16, text_hash="b" * 16,
    ttft_ms=80.0, total_ms=300.0, cost=Cost(input=3, output=4), format_valid=True,
)  # fmt: skip
LIMITS = Thresholds(ttft_ms=200.0, total_ms=1000.0, cost_nano_usd=14)
ALL = tuple(Guardrail(kind) for kind in GuardrailKind)


def counted(**changes: Any) -> tuple[Outcome, Exclusion | None, dict[GuardrailKind, float]]:
    """How a receipt counts: outcome, why not if it does not, the numbers of the guardrails."""
    found = observation_of(replace(RECEIPT, **changes), ROLLOUT, 1.0)
    assert found is not None
    return found.outcome, exclusion(found), numbers(found, ALL, LIMITS)


def test_an_answer() -> None:
    outcome, excluded, found = counted()
    assert (outcome, excluded) == (Outcome.ANSWERED, None)
    assert found[GuardrailKind.COST] == 0.5
    assert {kind for kind, number in found.items() if number} == {GuardrailKind.COST}
    one = observation_of(RECEIPT, ROLLOUT, 7.0)
    assert one is not None
    assert (one.arm, one.step, one.at, one.unit, one.text) == (Arm.CANDIDATE, 1, 7.0, "a" * 16, "b" * 16)
    other = observation_of(replace(RECEIPT, variant="old"), ROLLOUT, 7.0)
    assert other is not None
    assert other.arm is Arm.STABLE


def test_a_timeout_is_an_error_and_later_than_any_limit() -> None:
    outcome, excluded, found = counted(code="DEADLINE_EXCEEDED", ttft_ms=None, format_valid=None)
    assert (outcome, excluded) == (Outcome.TIMED_OUT, None)
    assert [found[kind] for kind in (GuardrailKind.ERROR, GuardrailKind.TTFT, GuardrailKind.TOTAL)] == [1, 1, 1]


def test_a_cancelled_one_is_its_own_guardrails_and_late_where_it_had_waited_beyond_the_limit() -> None:
    outcome, excluded, found = counted(code="CANCELLED", ttft_ms=None, total_ms=250.0, format_valid=None)
    assert (outcome, excluded) == (Outcome.CANCELLED, None)
    assert (found[GuardrailKind.CANCELLED], found[GuardrailKind.ERROR], found[GuardrailKind.TTFT]) == (1, 0, 1)
    assert GuardrailKind.TOTAL not in found
    assert GuardrailKind.TTFT not in counted(code="CANCELLED", ttft_ms=None, total_ms=150.0)[2]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "NOT_FOUND", "FAILED_PRECONDITION", "UNKNOWN"])
def test_what_fails_in_the_variant_is_its_error(code: str) -> None:
    outcome, excluded, found = counted(code=code, ttft_ms=None, format_valid=None)
    assert (outcome, excluded, found[GuardrailKind.ERROR]) == (Outcome.FAILED, None, 1)


@pytest.mark.parametrize(
    ("code", "outcome", "excluded"),
    [
        ("RESOURCE_EXHAUSTED", Outcome.REFUSED, Exclusion.REFUSED),
        ("INVALID_ARGUMENT", Outcome.CLIENT_FAULT, Exclusion.CLIENT_FAULT),
        ("ABORTED", Outcome.CLIENT_FAULT, Exclusion.CLIENT_FAULT),
    ],
)
def test_what_is_refused_counts_for_nothing(code: str, outcome: Outcome, excluded: Exclusion) -> None:
    assert counted(code=code)[:2] == (outcome, excluded)


def test_what_was_refused_before_it_had_a_variant_is_no_observation() -> None:
    early = replace(RECEIPT, code="RESOURCE_EXHAUSTED", variant="", rollout="", rollout_step=None, unit_hash="")
    assert observation_of(early, ROLLOUT, 1.0) is None


@pytest.mark.parametrize(
    "changes", [{"rollout": "r0"}, {"rollout": ""}, {"variant": "another"}, {"rollout_step": None}]
)
def test_what_is_of_no_arm_of_this_rollout_is_no_observation(changes: dict[str, Any]) -> None:
    assert observation_of(replace(RECEIPT, **changes), ROLLOUT, 1.0) is None


@pytest.mark.parametrize(
    ("changes", "excluded"),
    [
        ({"unit_source": UnitSource.FORCED}, Exclusion.FORCED),
        ({"unit_source": UnitSource.HOLDOUT, "variant": "old"}, Exclusion.HOLDOUT),
        ({"unit_source": UnitSource.RANDOM, "unit_hash": ""}, Exclusion.NO_UNIT),
        ({"cold": True}, Exclusion.COLD),
        ({"shadow": True}, Exclusion.SHADOW),
    ],
)
def test_marks_keep_a_request_out(changes: dict[str, Any], excluded: Exclusion) -> None:
    assert counted(**changes)[1] is excluded


def test_a_retry_is_one_observation() -> None:
    tally = StepTally(1, ALL)
    first = observation_of(replace(RECEIPT, code="UNAVAILABLE"), ROLLOUT, 1.0)
    again = observation_of(replace(RECEIPT, code="UNAVAILABLE", request_id="q2"), ROLLOUT, 4.0)
    later = observation_of(replace(RECEIPT, request_id="q3"), ROLLOUT, 60.0)
    assert first is not None
    assert again is not None
    assert later is not None
    assert [tally.add(one) for one in (first, again, later)] == [None, Exclusion.REPEATED, None]


@pytest.mark.parametrize(
    ("degraded", "counts"),
    [((), 0), (("retrieval_timeout",), 1), (("passages_dropped", "query_cut"), 1), (("max_tokens_cut",), 0)],
)
def test_degraded_is_what_the_variant_could_not_have(degraded: tuple[str, ...], counts: float) -> None:
    assert counted(degraded=degraded)[2][GuardrailKind.DEGRADED] == counts


def test_unknown_is_no_number() -> None:
    found = counted(cost=Cost(), format_valid=None)[2]
    assert not {GuardrailKind.COST, GuardrailKind.FORMAT} & found.keys()
