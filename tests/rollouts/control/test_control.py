"""Control over the real store: what is decided, what every gateway then serves, and what the audit log tells."""

from __future__ import annotations

import json

import pytest

from tests.support.rollout_world import BROKEN, EQUAL, ROUTE, World, started, traffic
from trivet.errors import FailedPrecondition


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
