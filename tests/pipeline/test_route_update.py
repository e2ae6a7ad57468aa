"""Route updates: warm before weight, one step, requests keep what they resolved, and nothing is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chat_families import make_family
from gateway_harness import PROMPT, QUANTUM, variant
from tiny_model import adapter_files
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, BackendUnavailable, NotFound
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.readiness import Readiness
from trivet.pipeline.route_update import RouteUpdater
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.routing.table import RouteTable
from trivet.stores.desired_adapters import DesiredAdapters
from trivet.testing import ScriptedBackend
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import AdapterState, StagedAdapter
from trivet.types.variant import Route, Variant, VersionRef

ONE, TWO, THREE = (VersionRef("tone", version) for version in "123")


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


def only(adapter: VersionRef | None, name: str = "v") -> dict[str, Route]:
    return served(**{name: (adapted(name, adapter), 1.0)})


class World:
    """A table that serves tone@1, warm, and a route_updater over it."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.root = folder / "adapters"
        for seed, ref in enumerate((ONE, TWO, THREE), start=1):
            write_adapter(self.root / ref.name / ref.version, adapter_files(seed))
        self.staging = folder / "staged"
        self.backend, self.flips = GatedBackend(), 0
        self.wanted: dict[VersionRef, list[str]] = {ONE: ["ask/v"]}
        settings = AdapterSettings((self.root,), self.staging, base, 16)
        desired = DesiredAdapters.open(folder / "adapters.sqlite")
        lifecycle = LifecycleSettings(retry_first=0.01, retry_most=0.05)
        self.adapters = AdapterManager(AdapterStaging(settings), self.backend, self.wanted, desired, lifecycle)
        tokenizer = ChatTokenizer.load(make_family("chatml", folder / "tokenizer").folder)
        source = PromptSource(PROMPT, folder / "1.md", (Turn("system", ("Answer briefly. " * 20,)),))
        prompts = {("scripted", PROMPT): PromptAssembler(source, tokenizer)}
        slots = {"scripted": AdapterSlots(slots=2, quantum=QUANTUM)}
        self.readiness = Readiness({"scripted": self.backend}, slots, self.adapters, prompts, PrefixCacheLedger())
        self.table = RouteTable(only(ONE))
        self.route_updater = RouteUpdater(self.table, self.adapters, self.wanted, self.readiness, self._flipped)

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
        async with asyncio.timeout(10):
            while not self.resident() == self.copies() == expected:
                await asyncio.sleep(0.01)
        assert sorted(self.wanted) == sorted(refs)


@pytest.fixture
async def world(tmp_path: Path, tiny_model: Path) -> AsyncIterator[World]:
    world = World(tmp_path, tiny_model)
    await world.start()
    yield world
    await world.adapters.close()


async def test_the_new_version_is_warm_before_it_gets_traffic_and_the_old_one_goes(world: World) -> None:
    world.backend.gate.clear()
    changing = asyncio.create_task(world.route_updater.replace(only(TWO)))
    async with asyncio.timeout(10):
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
        async with asyncio.timeout(10):
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
    assert world.table.revision == 10
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
    change = await world.route_updater.replace(only(TWO))
    assert change.revision == 1


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
    async with asyncio.timeout(10):
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
