"""Control over the real store: what is decided, what every gateway then serves, and what the audit log tells."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rollout_world import ROUTE, Clock, Gateway
from trivet.errors import FailedPrecondition
from trivet.rollouts.spec import Guardrail, GuardrailKind, RolloutSpec
from trivet.stores.state import StateStore
from trivet.types.rollout import Arm

EQUAL: Mapping[Arm, float] = {Arm.STABLE: 0.02, Arm.CANDIDATE: 0.02}
BROKEN: Mapping[Arm, float] = {Arm.STABLE: 0.02, Arm.CANDIDATE: 0.6}

SPEC = RolloutSpec(
    route=ROUTE, stable="v1", candidate="v2", stable_digest="a", candidate_digest="b", steps=(0.25, 0.5),
    guardrails=(
        Guardrail(GuardrailKind.ERROR, margin=0.02, required=True),
        Guardrail(GuardrailKind.FORMAT, margin=0.1, required=True),
    ),
    minimum_seconds=0.0, minimum_units=50, maximum_seconds=100_000.0, silence_seconds=1000.0, soak_seconds=0.0,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StateStore]:
    opened = StateStore.open(tmp_path / "state.sqlite")
    yield opened
    opened.close()


async def traffic(gateways: list[Gateway], broken: Mapping[Arm, float], seconds: int, seed: int = 1) -> list[str]:
    """Some seconds of requests of 2,000 units; the states that the rollout went through."""
    draws = random.Random(seed)
    states: list[str] = []
    for second in range(seconds):
        for number in range(60):
            gateway = draws.choice(gateways)
            gateway.answer(f"unit-{draws.randrange(2000)}", f"{second}-{number}", broken, draws)
        for gateway in gateways:
            gateway.clock.now += 1
            await gateway.second()
        record = (await gateways[0].store.current())[ROUTE]
        if not states or states[-1] != record.state:
            states.append(record.state)
        if record.state in ("promoted", "rolled_back", "halted"):
            break
    return states


async def started(store: StateStore, folder: Path, count: int = 1, spec: RolloutSpec = SPEC) -> list[Gateway]:
    gateways = [Gateway(f"g{number}", store, Clock(), spec, folder) for number in range(count)]
    for gateway in gateways:
        await gateway.follower.follow()
    await gateways[0].operations.start(ROUTE, actor="anna", reason="a better adapter")
    return gateways


async def test_an_equal_candidate_is_promoted(store: StateStore, tmp_path: Path) -> None:
    gateways = await started(store, tmp_path)
    assert await traffic(gateways, EQUAL, 200) == ["warming", "canary", "soaking", "promoted"]
    assert gateways[0].routes.rollout is not None
    assert gateways[0].routes.rollout.share == 1.0


async def test_a_candidate_that_breaks_the_form_is_rolled_back(store: StateStore, tmp_path: Path) -> None:
    gateways = await started(store, tmp_path, 2)
    assert (await traffic(gateways, BROKEN, 200))[-1] == "rolled_back"
    for gateway in gateways:
        await gateway.follower.follow()
        assert gateway.routes.rollout is not None
        assert gateway.routes.rollout.share == 0.0
    last = (await store.transitions(ROUTE))[-1]
    evidence = json.loads(last.evidence)["evidence"]
    (crossed,) = [test for test in evidence["tests"] if test["crossed"]]
    assert (last.reason, crossed["kind"]) == ("guardrail_crossed", "format")
    assert crossed["z"] > crossed["boundary"]
    assert last.fence > 0


async def test_two_gateways_judge_what_both_have_seen(store: StateStore, tmp_path: Path) -> None:
    gateways = await started(store, tmp_path, 2)
    await traffic(gateways, EQUAL, 3)
    record = (await store.current())[ROUTE]
    reporters = {stored.batch.gateway for stored in await store.batches(record.id)}
    assert reporters == {"g0", "g1"}
    assert [gateway.controller.leads for gateway in gateways].count(True) == 1


async def test_no_units_before_every_gateway_is_warm(store: StateStore, tmp_path: Path) -> None:
    gateways = await started(store, tmp_path, 2)
    gateways[1].routes.cold = "candidate v2: loading"
    assert await traffic(gateways, EQUAL, 5) == ["warming"]
    look = (await gateways[0].operations.status(ROUTE)).look
    assert look is not None
    assert look.health.waiting_for == ("g1: candidate v2: loading",)
    gateways[1].routes.cold = ""
    assert "canary" in await traffic(gateways, EQUAL, 5)


async def test_a_changed_position_is_applied_once_it_is_read(store: StateStore, tmp_path: Path) -> None:
    gateways = await started(store, tmp_path)
    await traffic(gateways, EQUAL, 5)
    await gateways[0].operations.rollback(ROUTE, actor="anna", reason="complaints")
    await gateways[0].follower.follow()
    assert gateways[0].routes.rollout is not None
    assert gateways[0].routes.rollout.state == "rolled_back"
    with pytest.raises(FailedPrecondition, match="has ended"):
        await gateways[0].operations.start(ROUTE, actor="anna", reason="again")
    again = await gateways[0].operations.start(ROUTE, actor="anna", reason="again", restart=True)
    assert again.state.value == "warming"
