"""What a leader counts does not depend on when it heard of a change, nor on who leads."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.support.rollout_world import EQUAL, ROUTE, SPEC, Gateway, World, started, traffic
from trivet.rollouts.control.controller import LEASE_SECONDS
from trivet.rollouts.judgement.evidence import Evidence

LONG = replace(SPEC, steps=(0.2, 0.3, 0.5), minimum_seconds=1000.0)


async def seen_by(gateway: Gateway) -> Evidence:
    look = (await gateway.operations.status(ROUTE)).look
    assert look is not None
    assert look.decision.evidence is not None
    return look.decision.evidence


async def advanced(gateways: list[Gateway]) -> None:
    await gateways[0].operations.advance(ROUTE, actor="anna", reason="in a hurry")
    for gateway in gateways:
        await gateway.follower.follow()


async def test_what_a_step_that_a_person_began_brings_at_once_is_counted(world: World) -> None:
    gateways = await started(world, 2, LONG)
    await traffic(gateways, EQUAL, 5)
    await advanced(gateways)
    await traffic(gateways, EQUAL, 1, seed=2)
    await gateways[0].second()  # the leader reads what the other has told last
    seen = await seen_by(gateways[0])
    assert (seen.step, seen.counted) == (1, 60)


async def test_another_leader_has_the_same_numbers_after_changes_by_hand_and_late_reports(world: World) -> None:
    gateways, draws = await started(world, 2, LONG), random.Random(3)
    for gateway in gateways:
        gateway.routes.live = "handbook:1"
    for part in range(3):
        await traffic(gateways, EQUAL, 4, seed=part)
        gateways[1].routes.live = f"handbook:{part // 2}"  # one restart
        for number in range(200):
            gateways[1].answer(f"late-{number}", f"late-{part}-{number}", EQUAL, draws)
        if part < 2:
            await advanced(gateways)  # while those are on their way
        world.clock.now += 0.5
    for gateway in gateways:
        await gateway.recorder.flush()
    await gateways[0].controller.look()
    before = await seen_by(gateways[0])
    world.clock.now += LEASE_SECONDS + 1
    await gateways[1].controller.look()
    assert gateways[1].controller.leads
    after = await seen_by(gateways[1])
    assert before.step == 2
    assert before.counted > 100
    assert after == before
