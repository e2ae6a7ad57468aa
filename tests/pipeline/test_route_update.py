"""Route updates: warm before weight, one step, requests keep what they resolved, and nothing is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine.chat_families import make_family
from tests.support.engine.tiny_model import adapter_files
from tests.support.gateway.harness import PROMPT, QUANTUM, variant
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, BackendUnavailable, NotFound
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.routes.readiness import Readiness
from trivet.pipeline.routes.route_update import RouteUpdater
from trivet.pipeline.routes.standby import Standby
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.routing.table import RouteTable
from trivet.stores.state import StateStore
from trivet.testing import ScriptedBackend
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import AdapterState, StagedAdapter
from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route, Variant, VersionRef

ONE, TWO, THREE = (VersionRef("tone", version) for version in "123")
DECLARED = RouteRollout("", "pending", -1, "old", "new", 0.0, 0.0, "", spec_digest="spec")


class GatedBackend(ScriptedBackend):
    """Its loads can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        await self.gate.wait()
        await super().load_adapter(adapter)


def adapted(name: str, adapter: VersionRef | None) -> Variant:
    return variant(name, adapter=adapter)


def served(**weighted: tuple[Variant, float]) -> dict[str, Route]:
    """The route `ask` with these variants."""
    variants = {name: item for name, (item, _) in weighted.items()}
    return {"ask": Route("ask", variants, {name: weight for name, (_, weight) in weighted.items()}, "ask")}


def only(adapter: VersionRef | None, name: str = "v", revision: int = 0) -> dict[str, Route]:
    return {"ask": replace(served(**{name: (adapted(name, adapter), 1.0)})["ask"], revision=revision)}


class World:
    """A table that serves tone@1, warm, and a route_updater over it."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.root = folder / "adapters"
        for seed, ref in enumerate((ONE, TWO, THREE), start=1):
            write_adapter(self.root / ref.name / ref.version, adapter_files(seed))
        self.staging = folder / "staged"
        self.backend, self.flips = GatedBackend(), 0
        self.demand = AdapterDemand({ONE: ["ask/v"]})
        self.wanted = self.demand.users
        settings = AdapterSettings((self.root,), self.staging, base, 16)
        desired = StateStore.open(folder / "state.sqlite").desired_adapters
        lifecycle = LifecycleSettings(host_places=2, retry_first=0.01, retry_most=0.05)
        self.adapters = AdapterManager(AdapterStaging(settings), self.backend, self.demand, desired, lifecycle)
        tokenizer = ChatTokenizer.load(make_family("chatml", folder / "tokenizer").folder)
        source = PromptSource(PROMPT, folder / "1.md", (Turn("system", ("Answer briefly. " * 20,)),))
        prompts = {("scripted", PROMPT): PromptAssembler(source, tokenizer)}
        slots = {"scripted": AdapterSlots(slots=2, quantum=QUANTUM)}
        self.readiness = Readiness({"scripted": self.backend}, slots, self.adapters, prompts, PrefixCacheLedger())
        self.table = RouteTable(only(ONE))
        self.route_updater = RouteUpdater(self.table, self.adapters, self.demand, self.readiness, self._flipped)

    def _flipped(self) -> None:
        self.flips += 1

    async def start(self) -> None:
        await self.adapters.reconcile()
        await self.readiness.prime(*self.choice())

    def choice(self) -> tuple[Route, Variant]:
        """What the next request gets."""
        found = self.table.resolve("ask", "u")
        return found.route, found.variant

    def resident(self) -> list[str]:
        return sorted(name.partition("#")[0] for name in self.backend.resident)

    def copies(self) -> list[str]:
        return sorted(path.name.partition("#")[0] for path in self.staging.iterdir())

    async def settled(self, *refs: VersionRef) -> None:
        """These adapters, and no others, are in the engine and on the disk."""
        expected = sorted(map(str, refs))
        async with asyncio.timeout(60):
            while not self.resident() == self.copies() == expected:
                await asyncio.sleep(0.01)
        assert sorted(self.wanted) == sorted(refs)


@pytest.fixture
async def world(tmp_path: Path, tiny_model: Path) -> AsyncIterator[World]:
    world = World(tmp_path, tiny_model)
    await world.start()
    yield world
    await world.route_updater.close()
    await world.adapters.close()


async def test_the_new_version_is_warm_before_it_gets_traffic_and_the_old_one_goes(world: World) -> None:
    world.backend.gate.clear()
    changing = asyncio.create_task(world.route_updater.replace(only(TWO, revision=1)))
    async with asyncio.timeout(60):
        while "tone@2" not in world.copies():
            await asyncio.sleep(0.01)
    assert world.choice()[1].adapter == ONE
    assert world.wanted == {ONE: ["ask/v"], TWO: ["ask/v"]}
    world.backend.gate.set()
    change = await changing
    assert (change.revision, change.differences) == (1, ("route ask: variant v: adapter tone@1 -> tone@2",))
    route, chosen = world.choice()
    assert (route.revision, chosen.adapter, world.flips) == (1, TWO, 1)
    world.readiness.require(route, chosen)
    primed = world.backend.requests[-1].adapter
    assert primed is not None
    assert primed.startswith("tone@2#")
    await world.settled(TWO)


async def test_a_request_keeps_its_adapter_and_holds_nobody_up(world: World) -> None:
    async with world.adapters.acquire(ONE):
        await world.route_updater.replace(only(TWO))
        assert world.choice()[1].adapter == TWO
        assert world.resident() == ["tone@1", "tone@2"]
        async with asyncio.timeout(60):
            while {status.ref: status.state for status in world.adapters.statuses()}[ONE] is not AdapterState.DRAINING:
                await asyncio.sleep(0.01)
        assert world.resident() == ["tone@1", "tone@2"]
    await world.settled(TWO)


async def test_back_and_forth_while_requests_of_both_are_in_flight(world: World) -> None:
    for _ in range(5):
        async with world.adapters.acquire(ONE):
            await world.route_updater.replace(only(TWO))
            async with world.adapters.acquire(TWO):
                await world.route_updater.replace(only(ONE))
                async with world.adapters.acquire(ONE):
                    pass
    await world.settled(ONE)


def with_bad(world: World, ref: VersionRef) -> dict[str, Route]:
    return served(v=(adapted("v", ONE), 1), good=(adapted("good", TWO), 1), bad=(adapted("bad", ref), 1))


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda folder: (folder / "adapter.yaml").write_text("rank: 8"), AdapterRejected, "tone@3: adapter.yaml"),
        (lambda folder: folder.rename(folder.parent / "elsewhere"), NotFound, "tone@3"),
    ],
)
async def test_what_cannot_be_warm_changes_nothing(
    world: World, spoil: Any, error: type[Exception], message: str
) -> None:
    before, asked = world.table.routes, len(world.backend.requests)
    spoil(world.root / "tone" / "3")
    with pytest.raises(error, match=message):
        await world.route_updater.replace(with_bad(world, THREE))
    assert world.table.routes is before
    assert (world.flips, len(world.backend.requests)) == (0, asked)
    world.readiness.require(*world.choice())
    await world.settled(ONE)
    change = await world.route_updater.replace(only(TWO, revision=3))
    assert change.revision == 3


async def test_an_engine_that_starts_anew_meanwhile_gets_no_cold_traffic(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = served(a=(adapted("a", None), 1), b=(adapted("b", None), 1))
    prime = world.readiness.prime

    async def restarting(route: Route, variant: Variant) -> None:
        if variant.name == "b":
            world.backend.incarnation += 1
        await prime(route, variant)

    monkeypatch.setattr(world.readiness, "prime", restarting)
    with pytest.raises(BackendUnavailable, match="ask/a is not warm yet"):
        await world.route_updater.replace(routes)
    assert set(world.table.routes["ask"].variants) == {"v"}


async def test_what_has_traffic_as_it_is_needs_no_engine_to_get_more_of_it(world: World) -> None:
    await world.route_updater.replace(served(v=(adapted("v", ONE), 1), w=(adapted("w", None), 0)))
    world.backend.ready = False
    change = await world.route_updater.replace(served(v=(adapted("v", ONE), 5), w=(adapted("w", None), 0)))
    assert change.differences == ("route ask: variant v: weight 1 -> 5",)
    with pytest.raises(BackendUnavailable):  # but whatever had none has to be warm first
        await world.route_updater.replace(served(v=(adapted("v", ONE), 5), w=(adapted("w", None), 1)))
    assert world.table.routes["ask"].weights == {"v": 5, "w": 0}
    world.backend.ready, asked = True, len(world.backend.requests)
    await world.route_updater.replace(served(v=(adapted("v", ONE), 5), w=(adapted("w", None), 1)))
    assert len(world.backend.requests) == asked, "both are warm since they were added"


async def test_one_that_comes_back_is_primed_again(world: World) -> None:
    await world.route_updater.replace(only(TWO))
    await world.settled(TWO)
    asked = len(world.backend.requests)
    assert not world.readiness.is_ready(*_of(only(ONE)))
    await world.route_updater.replace(only(ONE))
    assert len(world.backend.requests) == asked + 1
    await world.settled(ONE)


def _of(routes: Mapping[str, Route]) -> tuple[Route, Variant]:
    route = routes["ask"]
    return route, route.variants["v"]


async def test_a_cancelled_one_leaves_the_old_routes_and_nothing_else(world: World) -> None:
    world.backend.gate.clear()
    changing = asyncio.create_task(world.route_updater.replace(only(TWO)))
    async with asyncio.timeout(60):
        while "tone@2" not in world.copies():
            await asyncio.sleep(0.01)
    changing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await changing
    world.backend.gate.set()
    assert world.choice()[1].adapter == ONE
    await world.settled(ONE)


async def test_one_at_a_time_in_turn(world: World) -> None:
    world.backend.gate.clear()
    changes = [asyncio.create_task(world.route_updater.replace(only(ref))) for ref in (TWO, THREE, None)]
    await asyncio.sleep(0.05)
    assert world.choice()[1].adapter == ONE
    world.backend.gate.set()
    done = [(await change).differences for change in changes]
    assert [lines[0].rpartition(": ")[2] for lines in done] == [
        "adapter tone@1 -> tone@2",
        "adapter tone@2 -> tone@3",
        "adapter tone@3 -> none",
    ]
    await world.settled()


async def test_what_goes_with_it_is_done_in_the_same_step(world: World) -> None:
    seen: list[tuple[VersionRef | None, int]] = []
    await world.route_updater.replace(only(TWO), lambda: seen.append((world.choice()[1].adapter, world.flips)))
    assert seen == [(TWO, 0)]


def rolling(state: str, share: float, **changes: Any) -> RouteRollout:
    return replace(DECLARED, id="r1", state=state, step=0, share=share, salt="s", **changes)


def declared(*, candidate: VersionRef | None = TWO, revision: int = 1) -> dict[str, Route]:
    """The route `ask` with a rollout from tone@1 to the candidate, and a route beside it."""
    ask = served(old=(adapted("old", ONE), 1), new=(adapted("new", candidate), 0))["ask"]
    beside = Route("beside", {"v": adapted("v", None)}, {"v": 1.0}, "beside", revision=1)
    return {"ask": replace(ask, rollout=DECLARED, revision=revision), "beside": beside}


async def rolled_out(world: World, state: str = "canary", share: float = 0.5, revision: int = 5) -> None:
    """The rollout runs, both arms warm."""
    await world.route_updater.replace(declared())
    world.route_updater.steer({"ask": rolling("warming", 0.0)}, {"ask": revision - 1})
    await warm(world)
    assert world.route_updater.steer({"ask": rolling(state, share)}, {"ask": revision}) == {}


async def warm(world: World) -> None:
    async with asyncio.timeout(60):
        while world.route_updater.unready("ask"):
            await asyncio.sleep(0.01)


def weights(world: World) -> Mapping[str, float]:
    return world.table.routes["ask"].weights


async def test_a_pending_rollout_wants_no_candidate_and_its_warming_does(world: World) -> None:
    await world.route_updater.replace(declared())
    assert (world.resident(), sorted(world.wanted)) == (["tone@1"], [ONE])
    assert world.route_updater.unready("ask") == ""
    world.backend.gate.clear()
    world.route_updater.steer({"ask": rolling("warming", 0.0)}, {"ask": 3})
    assert (world.table.routes["ask"].revision, world.choice()[1].name) == (3, "old")
    assert world.route_updater.unready("ask") == "new: it is being warmed"
    world.backend.gate.set()
    await warm(world)
    assert world.resident() == ["tone@1", "tone@2"]


async def test_a_rollback_waits_for_nobodys_load(world: World) -> None:
    """While another route's adapter takes a minute to load."""
    await rolled_out(world)
    world.backend.gate.clear()
    beside = replace(declared()["beside"], variants={"v": adapted("v", THREE)})
    reloading = asyncio.create_task(world.route_updater.replace({**declared(), "beside": beside}))
    async with asyncio.timeout(60):
        while "tone@3" not in world.copies():
            await asyncio.sleep(0.01)
    world.route_updater.steer({"ask": rolling("rolled_back", 0.0)}, {"ask": 6})
    assert not reloading.done()
    assert (weights(world), world.table.routes["ask"].revision) == ({"old": 1.0, "new": 0.0}, 6)
    world.readiness.require(*world.choice())
    world.backend.gate.set()
    await reloading
    assert weights(world) == {"old": 1.0, "new": 0.0}, "nor does what was being loaded undo it"


@pytest.mark.parametrize(("state", "share"), [("canary", 0.25), ("rolled_back", 0.0), ("soaking", 1.0)])
async def test_a_reload_leaves_the_rollouts_shares_alone(world: World, state: str, share: float) -> None:
    await rolled_out(world, state, share)
    before = dict(weights(world))
    changed = replace(declared()["beside"], max_duration=9.0, revision=2)
    change = await world.route_updater.replace({**declared(), "beside": changed})
    assert change.differences == ("route beside: max_duration 120.0 -> 9.0",)
    assert weights(world) == before
    assert world.table.routes["ask"].revision == 5


async def test_a_rollout_of_another_spec_is_not_continued_by_a_reload(world: World) -> None:
    await rolled_out(world)
    other = declared(candidate=THREE, revision=8)
    ask = replace(other["ask"], rollout=replace(DECLARED, spec_digest="another"))
    await world.route_updater.replace({**other, "ask": ask})
    assert (weights(world), world.table.routes["ask"].revision) == ({"old": 1.0, "new": 0.0}, 8)


async def test_two_gateways_in_one_state_have_one_revision_whatever_they_did_before(
    tmp_path: Path, tiny_model: Path
) -> None:
    worlds = [World(tmp_path / name, tiny_model) for name in ("one", "other")]
    for number, world in enumerate(worlds):
        await world.start()
        for _ in range(number):  # the other one was reloaded more often
            await world.route_updater.replace(declared(candidate=THREE))
        await rolled_out(world)
    one, other = (world.table for world in worlds)
    assert one.routes["ask"].revision == other.routes["ask"].revision == 5
    units = [f"u{number}" for number in range(2000)]
    chosen = [[table.resolve("ask", unit).variant.name for unit in units] for table in (one, other)]
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == {"old", "new"}
    for world in worlds:
        await world.route_updater.close()
        await world.adapters.close()


async def test_a_late_message_undoes_nothing(world: World) -> None:
    await rolled_out(world, "rolled_back", 0.0, revision=6)
    world.route_updater.steer({"ask": rolling("canary", 0.5)}, {"ask": 5})
    assert (weights(world)["new"], world.table.routes["ask"].revision) == (0.0, 6)


async def test_a_cold_candidate_gets_nobody_until_it_is_warm(world: World) -> None:
    await world.route_updater.replace(declared())
    world.backend.gate.clear()
    held = world.route_updater.steer({"ask": rolling("canary", 0.5)}, {"ask": 5})
    assert held == {"ask": "candidate new is not warm"}
    assert weights(world) == {"old": 1.0, "new": 0.0}
    assert world.table.routes["ask"].revision == 0, "receipts must not pass for those of gateways that split"
    world.backend.gate.set()
    await warm(world)
    async with asyncio.timeout(60):
        while weights(world)["new"] != 0.5:
            await asyncio.sleep(0.01)
    assert world.table.routes["ask"].revision == 5
    assert world.route_updater.steer({}, {}) == {}


async def test_what_keeps_a_candidate_from_being_warm_is_said(world: World) -> None:
    (world.root / "tone" / "2" / "adapter.yaml").write_text("rank: 8")
    await world.route_updater.replace(declared())
    world.route_updater.steer({"ask": rolling("warming", 0.0)}, {"ask": 3})
    async with asyncio.timeout(60):
        while "adapter.yaml" not in world.route_updater.unready("ask"):
            await asyncio.sleep(0.01)
    world.readiness.require(*world.choice())


async def test_back_from_all_units_is_at_once_though_the_engine_had_to_make_room(world: World) -> None:
    """Stable has no requests, and its adapter was used longest ago: under pressure for places it would be the first."""
    await rolled_out(world, "soaking", 1.0)
    async with world.adapters.acquire(TWO):
        pass
    await world.adapters.load(THREE)
    async with world.adapters.acquire(THREE):
        pass
    assert {"tone@1", "tone@2"} <= set(world.resident())
    world.backend.gate.clear()  # nothing can be loaded
    world.route_updater.steer({"ask": rolling("rolled_back", 0.0)}, {"ask": 6})
    route, chosen = world.choice()
    world.readiness.require(route, chosen)
    assert not world.adapters.gave_way(ONE)
    async with asyncio.timeout(60), world.adapters.acquire(chosen.adapter):
        pass
    world.backend.gate.set()
    assert chosen.name == "old"


async def test_after_the_promotion_stable_goes(world: World) -> None:
    await rolled_out(world, "soaking", 1.0)
    world.route_updater.steer({"ask": rolling("promoted", 1.0)}, {"ask": 6})
    assert world.choice()[1].name == "new"
    await world.settled(TWO)


async def test_the_arm_without_units_stays_primed_until_the_rollout_has_ended(world: World) -> None:
    await rolled_out(world, "soaking", 1.0)
    standby = Standby(world.table, world.readiness, interval=0.02)
    standby.start()
    try:
        asked = len(world.backend.requests)
        async with asyncio.timeout(60):
            while len(world.backend.requests) < asked + 3:
                await asyncio.sleep(0.01)
        assert {str(request.adapter).partition("#")[0] for request in world.backend.requests[asked:]} == {"tone@1"}
        world.route_updater.steer({"ask": rolling("promoted", 1.0)}, {"ask": 6})
        await asyncio.sleep(0.1)
        asked = len(world.backend.requests)
        await asyncio.sleep(0.1)
        assert len(world.backend.requests) == asked
    finally:
        await standby.close()
