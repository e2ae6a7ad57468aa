"""Each decision of the audit log can be made again from its entry alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.rollout_world import BROKEN, EQUAL, ROUTE, SPEC, World, started, traffic
from trivet.rollouts.control.audit import repeat
from trivet.rollouts.judgement.evidence import GuardrailEvidence
from trivet.rollouts.spec import Approval, Guardrail, GuardrailKind, RolloutSpec
from trivet.types.rollout import Arm
from trivet.types.rollout_state import Transition

FAILING: Mapping[Arm, float] = {Arm.STABLE: 0.02, Arm.CANDIDATE: 1.0}
TIMED = replace(
    SPEC, minimum_seconds=15.0, guardrails=(*SPEC.guardrails, Guardrail(GuardrailKind.TTFT, margin=0.2, required=True))
)


async def decisions_of(world: World) -> list[Transition]:
    return [entry for entry in await world.store.transitions(ROUTE) if entry.fence]


def recorded(test: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("kind", "test", "z", "boundary", "estimate", "standard_error", "crossed", "stable", "candidate")
    return tuple(tuple(test[name]) if isinstance(test[name], list) else test[name] for name in names)


def made_again(test: GuardrailEvidence) -> tuple[Any, ...]:
    z = test.z if test.z is None or math.isfinite(test.z) else None
    numbers = (z, test.boundary, test.estimate, test.standard_error, test.crossed, test.stable, test.candidate)
    return (test.kind.value, test.test.value, *numbers)


@pytest.mark.parametrize(
    ("spec", "broken", "events"),
    [
        (SPEC, EQUAL, ["begin_canary", "advance", "promote", "finish"]),
        (SPEC, BROKEN, ["begin_canary", "rollback"]),
        (TIMED, EQUAL, ["begin_canary", "advance", "promote", "finish"]),
        (replace(SPEC, steps=(0.01, 0.5)), FAILING, ["begin_canary", "advance", "rollback"]),
        (replace(SPEC, approval=Approval.PROMOTION), EQUAL, ["begin_canary", "advance", "request_approval"]),
        (replace(SPEC, maximum_seconds=8.0, minimum_units=1500), EQUAL, ["begin_canary", "halt"]),
    ],
    ids=["equal", "broken", "timed", "smoke", "approval", "maximum time"],
)
async def test_every_decision_is_made_again_from_its_entry(
    world: World, spec: RolloutSpec, broken: Mapping[Arm, float], events: list[str]
) -> None:
    gateways = await started(world, 2, spec)
    await traffic(gateways, broken, 120)
    entries = await decisions_of(world)
    assert [entry.event for entry in entries] == events
    for entry in entries:
        again = repeat(entry)
        assert again.event is not None
        assert (again.event.value, again.reason.value, again.message) == (entry.event, entry.reason, entry.message)
        told = json.loads(entry.evidence)["evidence"]["tests"]
        assert again.evidence is not None
        assert [made_again(test) for test in again.evidence.tests] == [recorded(test) for test in told]


async def test_changed_sums_give_another_decision(world: World) -> None:
    gateways = await started(world, 1)
    await traffic(gateways, BROKEN, 60)
    last = (await decisions_of(world))[-1]
    told = json.loads(last.evidence)
    for test in told["evidence"]["tests"]:
        test["candidate"] = test["stable"]
    assert repeat(replace(last, evidence=json.dumps(told))).reason.value != last.reason


async def test_what_a_person_did_rests_on_no_data(world: World) -> None:
    await started(world, 1)
    by_hand = (await world.store.transitions(ROUTE))[-1]
    assert by_hand.actor == "anna"
    with pytest.raises(ValueError, match="start by anna, expected a decision from data"):
        repeat(by_hand)
