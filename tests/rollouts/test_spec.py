"""A spec's problems are all told, and its digest is that of everything in it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tests.support.rollout_observations import SPEC
from trivet.rollouts.spec import DEFAULT_GUARDRAILS, Approval, Guardrail, GuardrailKind, RolloutSpec, problems


def test_the_defaults_are_right() -> None:
    assert problems(SPEC) == ()
    assert replace(SPEC, steps=(0.01, 0.05, 0.25, 0.5)).guardrail_alpha == pytest.approx(0.00208, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"route": ""}, "route: expected 1 to 128 characters"),
        ({"candidate": "sorter@1"}, "is the stable variant, expected another one"),
        ({"candidate_digest": "1" * 64}, "expected something that differs"),
        ({"steps": ()}, "steps: 0 of them, expected 1 to 32"),
        ({"steps": (0.5, 0.1)}, "expected each to be above the one before"),
        ({"steps": (0.5, 1.0)}, "promotion sets 1"),
        ({"steps": (float("nan"),)}, "steps: nan, expected shares"),
        ({"alpha": float("nan")}, "alpha: nan, expected a number"),
        ({"minimum_units": 5}, "minimum_units: 5, expected a number from 30"),
        ({"maximum_seconds": 30.0}, "expected more than minimum_seconds"),
        ({"guardrails": ()}, "guardrails: none, expected at least one"),
        ({"guardrails": DEFAULT_GUARDRAILS * 2}, "error is given 2 times"),
        ({"guardrails": (Guardrail(GuardrailKind.ERROR),)}, "none is required"),
        ({"guardrails": (Guardrail(GuardrailKind.ERROR, required=True),)}, "equality cannot be proven"),
        ({"guardrails": (Guardrail(GuardrailKind.ERROR, margin=2.0, required=True),)}, "margin is 2.0"),
        ({"guardrails": (Guardrail(GuardrailKind.ERROR, margin=0.1, slower=2, required=True),)}, "what is not a time"),
        ({"guardrails": (*DEFAULT_GUARDRAILS, Guardrail(GuardrailKind.SHADOW_AGREEMENT))}, "without a shadow"),
    ],
)
def test_each_problem_says_what_was_expected(changes: dict[str, Any], expected: str) -> None:
    found = problems(replace(SPEC, **changes))
    assert any(expected in problem for problem in found), found


def test_all_problems_are_told_at_once() -> None:
    assert len(problems(replace(SPEC, route="", alpha=2.0, steps=(5.0,)))) == 3


def test_whatever_changes_is_another_rollout() -> None:
    changed: dict[str, Any] = {
        "approval": Approval.EVERY_STEP,
        "guardrails": DEFAULT_GUARDRAILS[:2],
        "steps": (0.5,),
    }
    digests = {SPEC.digest()}
    for field in fields(RolloutSpec):
        old = getattr(SPEC, field.name)
        new = changed[field.name] if field.name in changed else old + ("x" if isinstance(old, str) else 1)
        digests.add(replace(SPEC, **{field.name: new}).digest())
    assert len(digests) == 1 + len(fields(RolloutSpec))
    assert replace(SPEC).digest() == SPEC.digest()
