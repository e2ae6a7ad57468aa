"""Control over the real store: what is decided, what every gateway then serves, and what the audit log tells."""

from __future__ import annotations

import json

import pytest

from tests.support.rollout_world import BROKEN, EQUAL, ROUTE, World, started, traffic
from trivet.errors import FailedPrecondition
from trivet.rollouts.control.audit import repeat
from trivet.rollouts.control.controller import LEASE_SECONDS


async def test_an_equal_candidate_is_promoted(world: World) -> None:
    gateways = await started(world)
    assert await traffic(gateways, EQUAL, 200) == ["warming", "canary", "soaking", "promoted"]
    assert gateways[0].routes.rollout is not None
    assert gateways[0].routes.rollout.share == 1.0


async def test_a_candidate_that_breaks_the_form_is_rolled_back(world: World) -> None:
    gateways = await started(world, 2)
    assert (await traffic(gateways, BROKEN, 200))[-1] == "rolled_back"
    for gateway in gateways:
        await gateway.follower.follow()
        assert gateway.routes.rollout is not None
        assert gateway.routes.rollout.share == 0.0
    last = (await world.store.transitions(ROUTE))[-1]
    evidence = json.loads(last.evidence)["evidence"]
    (crossed,) = [test for test in evidence["tests"] if test["crossed"]]
    assert (last.reason, crossed["kind"]) == ("guardrail_crossed", "format")
    assert crossed["z"] > crossed["boundary"]
    assert last.fence > 0


async def test_two_gateways_judge_what_both_have_seen(world: World) -> None:
    gateways = await started(world, 2)
    await traffic(gateways, EQUAL, 3)
    record = (await world.store.current())[ROUTE]
    reporters = {stored.batch.gateway for stored in await world.store.batches(record.id)}
    assert reporters == {"g0", "g1"}
    assert [gateway.controller.leads for gateway in gateways].count(True) == 1


async def test_no_units_before_every_gateway_is_warm(world: World) -> None:
    gateways = await started(world, 2)
    gateways[1].routes.cold = "candidate v2: loading"
    assert await traffic(gateways, EQUAL, 5) == ["warming"]
    look = (await gateways[0].operations.status(ROUTE)).look
    assert look is not None
    assert look.health.waiting_for == ("g1: candidate v2: loading",)
    gateways[1].routes.cold = ""
    assert "canary" in await traffic(gateways, EQUAL, 5)


async def test_a_changed_position_is_applied_once_it_is_read(world: World) -> None:
    gateways = await started(world)
    await traffic(gateways, EQUAL, 5)
    await gateways[0].operations.rollback(ROUTE, actor="anna", reason="complaints")
    await gateways[0].follower.follow()
    assert gateways[0].routes.rollout is not None
    assert gateways[0].routes.rollout.state == "rolled_back"
    with pytest.raises(FailedPrecondition, match="has ended"):
        await gateways[0].operations.start(ROUTE, actor="anna", reason="again")
    again = await gateways[0].operations.start(ROUTE, actor="anna", reason="again", restart=True)
    assert again.state.value == "warming"


async def test_a_snapshot_that_is_switched_begins_the_step_anew(world: World) -> None:
    gateways = await started(world, 2)
    for gateway in gateways:
        gateway.routes.live = "handbook:1"
    await traffic(gateways, EQUAL, 3)
    before = (await world.store.current())[ROUTE]
    gateways[1].routes.live = "handbook:2"
    world.clock.now += LEASE_SECONDS + 1
    gateways.reverse()  # another one leads by now: it knows the snapshots from the audit log
    await traffic(gateways, EQUAL, 3)
    (entry,) = [entry for entry in await world.store.transitions(ROUTE) if entry.event == "restart_step"]
    assert (entry.reason, entry.from_step, entry.to_step) == ("snapshot_switched", before.step, before.step)
    assert "g1 has handbook:2 in place of handbook:1" in entry.message
    assert repeat(entry).message == entry.message
    assert (await world.store.current())[ROUTE].judged_since > before.judged_since
    assert "restart_step" not in [one.event for one in await world.store.transitions(ROUTE, entry.revision)]


async def test_every_gateway_tells_what_the_leader_saw(world: World) -> None:
    gateways = await started(world, 2)
    await traffic(gateways, EQUAL, 6)
    (follower,) = [gateway for gateway in gateways if not gateway.controller.leads]
    look = (await follower.operations.status(ROUTE)).look
    assert look is not None
    assert look.decision.evidence is not None
    assert look.decision.evidence.counted > 0
    assert follower.clock.now - look.at <= 3
