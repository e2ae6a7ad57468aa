"""A rollback is seen by every gateway within a second, whatever else one of them loads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import cast

import pytest

from tests.support.gateway.harness import variant
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.app.rollouts.served import ServedRoutes
from trivet.pipeline.routes.readiness import Readiness
from trivet.pipeline.routes.route_update import RouteUpdater
from trivet.rollouts.control.follower import Follower
from trivet.rollouts.control.overrides import Overrides
from trivet.rollouts.control.records import move_to, position_of
from trivet.rollouts.control.timing import Timing
from trivet.rollouts.spec import RolloutSpec
from trivet.rollouts.spec_json import to_json
from trivet.rollouts.states import Event, apply
from trivet.routing.table import RouteTable
from trivet.stores.state import StateStore
from trivet.types.rollout import RouteRollout
from trivet.types.rollout_state import GatewayStatus, RolloutRecord
from trivet.types.variant import Route, Variant, VersionRef

SPEC = RolloutSpec("ask", "old", "new", "a", "b", steps=(0.5,))
SLOW = VersionRef("huge", "1")
WITHIN = 1.0  # seconds, the promise


class Adapters:
    """One of them takes a minute."""

    def __init__(self) -> None:
        self.loading = asyncio.Event()

    async def ensure(self, adapter: VersionRef) -> None:
        if adapter == SLOW:
            self.loading.set()
            await asyncio.sleep(60)

    def review(self) -> None:
        """Nothing is let go of."""


class Warm:
    """All but that one."""

    def is_ready(self, _route: Route, chosen: Variant) -> bool:
        return chosen.adapter != SLOW

    def keep(self, *_tables: Mapping[str, Route]) -> None:
        """All of it."""

    async def prime(self, _route: Route, _variant: Variant) -> None:
        """It is."""


def declared() -> dict[str, Route]:
    variants = {"old": variant("old"), "new": variant("new", adapter=VersionRef("tone", "2"))}
    rollout = RouteRollout("", "pending", -1, "old", "new", 0.0, 0.0, "", spec_digest=SPEC.digest())
    return {"ask": Route("ask", variants, {"old": 1.0, "new": 0.0}, "ask", rollout=rollout)}


class Gateway:
    """Its routes and what follows the store."""

    def __init__(self, name: str, store: StateStore, folder: Path) -> None:
        self.table = RouteTable(declared())
        self.adapters = Adapters()
        adapters, readiness = cast("AdapterManager", self.adapters), cast("Readiness", Warm())
        self.updater = RouteUpdater(self.table, adapters, AdapterDemand(), readiness, lambda: None)
        served = ServedRoutes(self.table, self.updater, dict)
        identity = GatewayStatus(name, name, name)
        self.follower = Follower(store, served, Overrides(folder / name), identity, Timing(), 60.0)
        self.tasks = [asyncio.create_task(self.follower.run())]

    @property
    def share(self) -> float:
        return self.table.route("ask").weights["new"]

    def load_another(self) -> None:
        """A reload with a route whose adapter takes a minute."""
        other = {"huge": Route("huge", {"v": variant("v", adapter=SLOW)}, {"v": 1.0}, "huge")}
        self.tasks.append(asyncio.create_task(self._reload({**declared(), **other})))

    async def _reload(self, routes: Mapping[str, Route]) -> None:
        await self.updater.replace(routes)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.updater.close()


@pytest.fixture
async def gateways(state_place: Path | str, tmp_path: Path) -> AsyncIterator[tuple[StateStore, list[Gateway]]]:
    """Two on one store: on PostgreSQL each by its own connections, on SQLite by those of one process."""
    stores = [StateStore.open(state_place)]
    if isinstance(state_place, str):
        stores.append(StateStore.open(state_place))
    made = [Gateway(name, stores[number % len(stores)], tmp_path) for number, name in enumerate(("g0", "g1"))]
    yield stores[0], made
    for gateway in made:
        await gateway.close()
    for store in stores:
        store.close()


async def moved(store: StateStore, record: RolloutRecord, event: Event) -> RolloutRecord:
    after = apply(position_of(record), event, SPEC, await store.now())
    return await store.move(record.id, record.revision, move_to(after, event.value, "by_hand", "", "anna"))


async def until_all_have(gateways: list[Gateway], share: float) -> None:
    async with asyncio.timeout(60):
        while any(gateway.share != share for gateway in gateways):
            await asyncio.sleep(0.005)


async def test_a_rollback_is_seen_in_time_while_an_adapter_loads(
    gateways: tuple[StateStore, list[Gateway]],
) -> None:
    store, both = gateways
    both[0].load_another()
    async with asyncio.timeout(60):
        await both[0].adapters.loading.wait()
    for _ in range(3):
        record = await store.create("ask", SPEC.digest(), to_json(SPEC), actor="anna", reason="again", restart=True)
        for event in (Event.START, Event.BEGIN_CANARY):
            record = await moved(store, record, event)
        await until_all_have(both, 0.5)
        began = time.monotonic()
        record = await moved(store, record, Event.ROLLBACK)
        await until_all_have(both, 0.0)
        assert time.monotonic() - began < WITHIN
        assert [gateway.table.route("ask").revision for gateway in both] == [record.revision] * 2
    assert not both[0].tasks[1].done(), "it still loads"
    assert "huge" not in both[0].table.routes


async def test_both_gateways_give_a_unit_the_same_variant_at_one_revision(
    gateways: tuple[StateStore, list[Gateway]],
) -> None:
    store, both = gateways
    record = await store.create("ask", SPEC.digest(), to_json(SPEC), actor="anna", reason="one")
    for event in (Event.START, Event.BEGIN_CANARY):
        record = await moved(store, record, event)
    await until_all_have(both, 0.5)
    for number in range(2000):
        one, two = (gateway.table.resolve("ask", f"unit-{number}") for gateway in both)
        assert (one.variant.name, one.route.revision) == (two.variant.name, two.route.revision)
    assert both[0].table.route("ask") == both[1].table.route("ask")
