"""What a leader counts does not depend on when it heard of a change, nor on who leads."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

from tests.support.rollout_world import EQUAL, ROUTE, SPEC, Gateway, World, started, traffic
from trivet.errors import LeaseLost
from trivet.rollouts.control.batches import StepReport, pack
from trivet.rollouts.control.controller import AWAY_SECONDS, LEASE, LEASE_SECONDS, Controller
from trivet.rollouts.judgement.evidence import Evidence
from trivet.rollouts.ports.operations import Look
from trivet.rollouts.store import RolloutStore
from trivet.types.rollout_state import ObservationBatch

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


class SlowStore:
    """Every read of observations takes a second of the test's clock, and so does nothing else."""

    def __init__(self, world: World) -> None:
        self._store, self._clock = world.store, world.clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def batches(self, *arguments: Any) -> Any:
        self._clock.now += 1.1
        return await self._store.batches(*arguments)


async def test_a_long_rollout_is_taken_over_in_pieces_without_losing_the_lease(world: World) -> None:
    (first,) = await started(world, 1, LONG)
    await traffic([first], EQUAL, 5)
    record = (await world.store.current())[ROUTE]
    for seq in range(1000):  # three more pieces
        report = pack(StepReport(), 0.0)
        await world.store.append([ObservationBatch(record.id, 0, "other", "epoch", seq, report)])
    await first.second()
    expected = (await seen_by(first)).counted
    world.clock.now += LEASE_SECONDS + 1
    seen: list[Look] = []
    slow = cast("RolloutStore", SlowStore(world))
    second, looks = Controller(slow, "g1/epoch", world.clock.timing, lambda _, look: seen.append(look)), 0
    while not seen:
        assert await second.look() is not None, "it leads all the time"
        assert (await world.store.take_lease(LEASE, "g2/epoch", 3.0)) is None
        looks += 1
        assert looks < 30
    assert looks > 5
    evidence = seen[0].decision.evidence
    assert evidence is not None
    assert evidence.counted == expected


async def test_a_lease_that_is_lost_again_and_again_is_no_store_that_is_away(world: World) -> None:
    (gateway,) = await started(world, 1)
    await traffic([gateway], EQUAL, 2)
    with patch.object(Controller, "_judge", side_effect=LeaseLost("it was slow")):
        for _ in range(2 * int(AWAY_SECONDS)):
            world.clock.now += 1
            with suppress(LeaseLost):
                await gateway.controller.look()
    await traffic([gateway], EQUAL, 2)
    assert "halt" not in [entry.event for entry in await world.store.transitions(ROUTE)]


async def test_leaders_that_take_turns_before_either_has_read_all_come_to_an_end(world: World) -> None:
    (first,) = await started(world, 1, LONG)
    await traffic([first], EQUAL, 3)
    record = (await world.store.current())[ROUTE]
    for seq in range(1000):
        await world.store.append([ObservationBatch(record.id, 0, "other", "epoch", seq, pack(StepReport(), 0.0))])
    seen: list[Look] = []
    slow = cast("RolloutStore", SlowStore(world))
    two = [Controller(slow, f"g{one}/epoch", world.clock.timing, lambda _, look: seen.append(look)) for one in "12"]
    for number in range(60):
        world.clock.now += LEASE_SECONDS + 1  # each loses the lease to the other after one look
        for one in (two[number % 2], two[(number + 1) % 2]):
            await one.look()
        if seen:
            return
    raise AssertionError("neither has read all")
