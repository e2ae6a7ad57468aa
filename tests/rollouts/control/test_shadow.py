"""A rollout's shadow over the real store: it moves on by data, goes back by data, and halts without."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.support.rollout_histories import history_of
from tests.support.rollout_world import EQUAL, ROUTE, SPEC, Gateway, World, started, traffic
from trivet.cli.rollout.report.page import page
from trivet.rollouts.control.audit import repeat
from trivet.rollouts.observation import Exclusion, Observation, Outcome
from trivet.rollouts.spec import Guardrail, GuardrailKind
from trivet.routing.arms import is_shadowed
from trivet.types.rollout import ENDED, Arm

AGREEMENT = Guardrail(GuardrailKind.SHADOW_AGREEMENT, tolerance=0.4)
SHADOWING = replace(
    SPEC, shadow_seconds=10.0, shadow_share=0.25, guardrails=(*SPEC.guardrails, AGREEMENT), silence_seconds=60.0
)


def ask(gateway: Gateway, number: int, agreement: float, draws: random.Random) -> None:
    """One request, with the copy that a gateway makes of it if its unit is drawn."""
    unit = f"unit-{draws.randrange(2000)}"
    gateway.answer(unit, f"r{number}", EQUAL, draws)
    rollout = gateway.routes.rollout
    if rollout is not None and rollout.shadow_share and is_shadowed(rollout.salt, unit, rollout.shadow_share):
        copy = Observation(
            request_id=f"shadow-{number}", arm=Arm.CANDIDATE, step=rollout.step, at=gateway.clock.now,
            outcome=Outcome.ANSWERED, unit=unit, text=f"r{number}", format_valid=True, real_format_valid=True,
            agreement=agreement if draws.random() < 0.9 else 1.0, shadow=True,
        )  # fmt: skip
        gateway.recorder.observe(rollout.id, copy)


async def asked(gateways: list[Gateway], seconds: int, agreement: float, requests: int = 30) -> list[str]:
    """The states that the rollout goes through meanwhile."""
    draws, states = random.Random(3), list[str]()
    for second in range(seconds):
        for number in range(requests):
            ask(draws.choice(gateways), second * requests + number, agreement, draws)
        gateways[0].clock.now += 1
        for gateway in gateways:
            await gateway.second()
        state = (await gateways[0].store.current())[ROUTE].state
        if not states or states[-1] != state:
            states.append(state)
        if state in (*ENDED, "halted", "canary"):
            break
    return states


async def test_copies_that_agree_lead_to_the_first_step_and_on_to_the_end(world: World) -> None:
    gateways = await started(world, 2, SHADOWING)
    assert await asked(gateways, 100, agreement=0.9) == ["warming", "shadow", "canary"]
    for gateway in gateways:
        await gateway.follower.follow()
        rollout = gateway.routes.rollout
        assert rollout is not None
        assert (rollout.step, rollout.share, rollout.shadow_share) == (0, 0.25, 0.0)
    assert await traffic(gateways, EQUAL, 300) == ["canary", "soaking", "promoted"]
    for entry in await world.store.transitions(ROUTE):
        if entry.fence:
            decision = repeat(entry)
            assert decision.event is not None
            assert (decision.event.value, decision.message) == (entry.event, entry.message)


async def test_the_report_shows_the_pairs_as_the_audit_log_has_them(world: World) -> None:
    gateways = await started(world, 1, SHADOWING)
    assert (await asked(gateways, 100, agreement=0.9))[-1] == "canary"
    history = await history_of(gateways[0].operations)
    (decision,) = [entry for entry in history.entries if entry.transition.event == "begin_canary"]
    assert [(test.guardrail, test.test) for test in decision.tests] == [
        ("format", "paired"), ("shadow_agreement", "agreement"),
    ]  # fmt: skip
    html = page(history)
    for test in decision.tests:
        last = next(look for look in history.looks if look.guardrail == test.guardrail and look.at == test.at)
        assert (last.z, last.estimate, list(last.candidate)) == (test.z, test.estimate, list(test.candidate))
        assert f"{test.candidate[1]:,.0f} pairs of {test.candidate[0]:,.0f} units" in html


async def test_copies_that_disagree_roll_back_before_any_unit_has_the_candidate(world: World) -> None:
    gateways = await started(world, 2, SHADOWING)
    assert (await asked(gateways, 100, agreement=0.1))[-1] == "rolled_back"
    log = await world.store.transitions(ROUTE)
    assert [entry.event for entry in log] == ["create", "start", "begin_shadow", "rollback"]
    assert log[-1].message.startswith("shadow_agreement:")
    assert all(entry.share == 0 for entry in log)


async def test_without_copies_it_halts_and_goes_on_after_a_resumption(world: World) -> None:
    gateways = await started(world, 1, SHADOWING)
    assert await traffic(gateways, EQUAL, 300) == ["warming", "shadow", "halted"]
    last = (await world.store.transitions(ROUTE))[-1]
    assert (last.reason, "No copy of a request has been compared" in last.message) == ("no_data", True)
    assert gateways[0].routes.rollout is not None
    await gateways[0].follower.follow()
    assert gateways[0].routes.rollout.shadow_share == 0, "a halted rollout copies nothing"
    await gateways[0].operations.resume(ROUTE, actor="anna", reason="the load is lower now")
    assert await asked(gateways, 100, agreement=0.9) == ["warming", "shadow", "canary"]


async def test_a_person_may_end_a_shadow(world: World) -> None:
    gateways = await started(world, 1, SHADOWING)
    await asked(gateways, 3, agreement=0.9)
    status = await gateways[0].operations.advance(ROUTE, actor="anna", reason="the evaluation was enough")
    assert (status.state.value, status.step, status.share) == ("canary", 0, 0.25)
    await gateways[0].follower.follow()
    assert gateways[0].routes.rollout is not None
    assert gateways[0].routes.rollout.shadow_share == 0


async def test_what_was_dropped_is_left_out_and_said(world: World) -> None:
    gateways = await started(world, 1, SHADOWING)
    await asked(gateways, 5, agreement=0.9)
    rollout = gateways[0].routes.rollout
    assert rollout is not None
    stopped = Observation(
        request_id="shadow-x", arm=Arm.CANDIDATE, step=-1, at=world.clock.now, outcome=Outcome.CANCELLED, unit="u",
        shadow=True,
    )  # fmt: skip
    gateways[0].recorder.observe(rollout.id, stopped)
    await gateways[0].second()
    look = (await gateways[0].operations.status(ROUTE)).look
    assert look is not None
    assert look.decision.evidence is not None
    assert look.decision.evidence.exclusions[Exclusion.SHADOW] == 1
