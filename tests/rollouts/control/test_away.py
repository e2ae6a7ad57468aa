"""A state store that is away: serving goes on, nothing is decided, a rollback by hand works, and all agree later."""

from __future__ import annotations

import contextlib
import random

import pytest

from tests.support.rollout_world import EQUAL, ROUTE, SPEC, Gateway, LeavingStore, World, traffic
from trivet.errors import StateUnavailable
from trivet.types.rollout import RouteRollout


class Away:
    """Two gateways at 25%, each with a way of its own to the store."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ways = [LeavingStore(world.store) for _ in range(2)]
        self.gateways = [
            Gateway(f"g{number}", way, world.clock, SPEC, world.folder) for number, way in enumerate(self.ways)
        ]

    async def start(self) -> None:
        for gateway in self.gateways:
            await gateway.follower.follow()
        await self.gateways[0].operations.start(ROUTE, actor="anna", reason="a better adapter")
        await traffic(self.gateways, EQUAL, 3)
        assert [self.served(number).share for number in range(2)] == [0.25, 0.25]

    def served(self, number: int) -> RouteRollout:
        rollout = self.gateways[number].routes.rollout
        assert rollout is not None
        return rollout

    async def seconds(self, count: int) -> None:
        """Requests go on; what a gateway does against the store may fail."""
        draws = random.Random(count)
        for second in range(count):
            for gateway in self.gateways:
                assert gateway.answer(f"unit-{draws.randrange(500)}", f"{count}-{second}", EQUAL, draws) is not None
            self.world.clock.now += 1
            for gateway in self.gateways:
                await gateway.recorder.flush()
                with contextlib.suppress(StateUnavailable):
                    await gateway.controller.look()
                await gateway.follower.follow()


@pytest.fixture
async def away(world: World) -> Away:
    started = Away(world)
    await started.start()
    return started


async def test_five_minutes_without_the_store_halt_the_rollout_and_serving_falls_back(away: Away, world: World) -> None:
    for way in away.ways:
        way.away = True
    await away.seconds(59)
    assert [away.served(number).share for number in range(2)] == [0.25, 0.25]
    await away.seconds(241)
    for number, gateway in enumerate(away.gateways):
        served = away.served(number)
        assert (served.share, served.local, gateway.follower.cut_off) == (0.0, True, True)
        assert gateway.follower.staleness == 300
    for way in away.ways:
        way.away = False
    await away.seconds(3)
    record = (await world.store.current())[ROUTE]
    assert (record.state, record.reason) == ("halted", "data_hole")
    assert "nobody could look for 301 s" in record.message
    for number, gateway in enumerate(away.gateways):
        served = away.served(number)
        assert (served.state, served.share, served.local, gateway.follower.cut_off) == ("halted", 0.25, False, False)
    assert await world.store.transitions(ROUTE, record.revision) == []


async def test_whoever_leads_after_the_store_was_away_knows_it(away: Away, world: World) -> None:
    await away.seconds(1)
    assert [gateway.controller.leads for gateway in away.gateways] == [True, False]
    for way in away.ways:
        way.away = True
    await away.seconds(30)
    away.ways[1].away = False
    await away.seconds(2)
    assert away.gateways[1].controller.leads
    record = (await world.store.current())[ROUTE]
    assert (record.state, record.reason) == ("halted", "data_hole")


async def test_a_gateway_that_was_away_alone_halts_nothing(away: Away, world: World) -> None:
    away.ways[1].away = True
    await away.seconds(30)
    away.ways[1].away = False
    await away.seconds(2)
    assert (await world.store.current())[ROUTE].state == "canary"


async def test_one_gateway_that_is_cut_off_falls_back_alone(away: Away, world: World) -> None:
    away.ways[1].away = True
    await away.seconds(60)
    assert [away.served(number).share for number in range(2)] == [0.25, 0.0]
    away.ways[1].away = False
    await away.seconds(2)
    assert away.served(1).share > 0
    assert away.served(1).local is False


async def test_a_rollback_by_hand_works_without_the_store_and_is_told_to_it_later(away: Away, world: World) -> None:
    for way in away.ways:
        way.away = True
    await away.gateways[0].operations.rollback(ROUTE, actor="anna", reason="complaints")
    assert [away.served(number).share for number in range(2)] == [0.0, 0.25]
    again = Gateway("g0", away.ways[0], world.clock, SPEC, world.folder)
    assert again.overrides.told() == {ROUTE: "complaints"}
    away.gateways[0] = again  # a restart meanwhile
    for way in away.ways:
        way.away = False
    for gateway in away.gateways:
        await gateway.follower.follow()
    for number in range(2):
        served = away.served(number)
        assert (served.state, served.share, served.local) == ("rolled_back", 0.0, False)
    last = (await world.store.transitions(ROUTE))[-1]
    assert (last.actor, last.reason, last.fence) == ("anna", "by_hand", 0)
    assert "complaints" in last.message
    assert not again.overrides.told()


async def test_a_rollback_by_hand_that_the_store_need_not_hear_of_is_forgotten(away: Away, world: World) -> None:
    away.ways[0].away = True
    await away.gateways[0].operations.rollback(ROUTE, actor="anna", reason="complaints")
    await away.gateways[1].operations.rollback(ROUTE, actor="otto", reason="complaints here too")
    away.ways[0].away = False
    await away.gateways[0].follower.follow()
    entries = await world.store.transitions(ROUTE)
    assert [entry.actor for entry in entries if entry.event == "rollback"] == ["otto"]
    assert not away.gateways[0].overrides.told()


async def test_observations_that_could_not_wait_are_a_hole(
    away: Away, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivet.rollouts.control.recorder.MOST_WAITING", 3)
    monkeypatch.setattr("trivet.rollouts.control.recorder.MOST_REPORTS", 1)
    away.ways[1].away = True
    await away.seconds(8)
    away.ways[1].away = False
    await away.seconds(3)
    record = (await world.store.current())[ROUTE]
    assert (record.state, record.reason) == ("halted", "data_hole")
    assert "g1 lost 6 observations" in record.message
    await away.gateways[0].operations.resume(ROUTE, actor="anna", reason="six requests do not matter")
    await away.seconds(2)
    assert (await world.store.current())[ROUTE].state == "canary"
