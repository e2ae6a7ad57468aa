"""Reloading: the configuration is taken up whole or not at all, and what is wrong is told with its place."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.support.engine.training_base import make_base
from trivet.app.doors.listeners import key_entries
from trivet.app.prompts import ServedPrompts
from trivet.app.reload import Access, RouteReload, prices_of
from trivet.app.rollouts.declarations import Declarations
from trivet.budgets.budgets import Budgets
from trivet.budgets.store import BudgetStore
from trivet.config import Config, load_config
from trivet.config.budgets import limit_set
from trivet.errors import BackendUnavailable, ConfigError, Unauthenticated
from trivet.metering.prices import IndexPrice, PriceSheet
from trivet.pipeline.routes.route_update import RouteChange, RouteUpdater
from trivet.rollouts.store import RolloutStore
from trivet.routing.differences import differences
from trivet.rpc.auth import Authenticator
from trivet.types.budget import Use
from trivet.types.variant import Route, VersionRef

PRICE = {"input_per_million_tokens": 1.0, "cached_per_million_tokens": 0.1, "output_per_million_tokens": 2.0}


class Revisions:
    """The part of a state store that gives revisions."""

    def __init__(self) -> None:
        self._heads: dict[str, tuple[str, int]] = {}

    async def announce(self, digests: Mapping[str, str]) -> Mapping[str, int]:
        for name, digest in digests.items():
            head, revision = self._heads.get(name, ("", 0))
            if head != digest:
                self._heads[name] = digest, revision + 1
        return {name: self._heads[name][1] for name in digests}


def declarations() -> Declarations:
    async def digest(_ref: VersionRef) -> str:
        return "digest"

    return Declarations(cast(RolloutStore, Revisions()), digest)


class FakeChangeover:
    """Warms nothing; `gate` holds it up, `problem` fails it."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self.revision = 0
        self.problem: Exception | None = None
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def replace(self, routes: Mapping[str, Route], with_it: Callable[[], None]) -> RouteChange:
        self.entered.set()
        await self.gate.wait()
        if self.problem is not None:
            raise self.problem
        change = RouteChange(self.revision + 1, differences(self.routes, routes))
        self.routes, self.revision = routes, change.revision
        with_it()
        return change


class World:
    """A configuration in a folder, as it is served."""

    def __init__(self, folder: Path) -> None:
        make_base(folder / "model")
        self.folder, self.path = folder, folder / "trivet.yaml"
        (folder / "facts" / "corpus").mkdir(parents=True)
        (folder / "facts" / "index.yaml").write_text("version: 1\ncandidates: 50\n")
        self.prompt("p@1", "Answer.")
        self.data: dict[str, Any] = {
            "version": 1,
            "server": {"drain_timeout": 30.0},
            "backends": {"local": {"kind": "embedded", "model": "model"}},
            "indexes": {"facts": "facts"},
            "prices": {"local": dict(PRICE)},
            "index_prices": {"facts": {"embedding_per_million_tokens": 0.5}},
            "routes": {"ask": {"variants": {"v": {"weight": 1, "backend": "local", "prompt": "p@1"}}}},
        }
        self.write()
        config = self.read()
        self.prompts, self.prices = ServedPrompts.of(config), prices_of(config)
        self.route_updater = FakeChangeover(config.routes)
        updater, declared = cast(RouteUpdater, self.route_updater), declarations()
        self.keys = Authenticator(key_entries(config))
        self.budgets = Budgets(cast(BudgetStore, None), limit_set(config.file))
        access = Access(self.keys, self.budgets)
        self.reload = RouteReload(config, self.read, updater, self.prompts, self.prices, declared, access)

    def read(self) -> Config:
        return load_config(self.path)

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.data, sort_keys=False))

    def prompt(self, ref: str, text: str) -> None:
        path = self.folder / "prompts" / (ref.replace("@", "/") + ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def variants(self) -> dict[str, Any]:
        found: dict[str, Any] = self.data["routes"]["ask"]["variants"]
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_routes_prices_and_new_prompts_are_taken_up(world: World) -> None:
    world.prompt("p@2", "Answer tersely.")
    world.variants["v"]["prompt"] = "p@2"
    world.data["prices"]["local"]["output_per_million_tokens"] = 3.0
    world.write()
    change = await world.reload.reload()
    assert change.differences == ("route ask: variant v: prompt p@1 -> p@2", "prices of local")
    assert world.prices.backends["local"].output_per_million_tokens == 3.0
    assert ("local", VersionRef("p", "2")) in world.prompts.assemblers
    assert ("local", VersionRef("p", "1")) in world.prompts.assemblers, "requests may use it yet"
    assert (await world.reload.reload()).differences == ()
    del world.data["prices"]
    world.data["index_prices"]["facts"]["reranking_per_million_tokens"] = 2
    held = world.prices.indexes
    world.write()
    assert (await world.reload.reload()).differences == ("prices of local", "prices of index facts")
    assert not world.prices.backends
    assert held == {"facts": IndexPrice(0.5, 2.0)}


async def test_a_variable_that_only_some_variants_require_is_told_once(world: World) -> None:
    world.prompt("p@2", "---\nvariables: {shop: {}, tone: {default: warm}}\n---\nAnswer for {{ shop }}, {{ tone }}.")
    world.variants["w"] = {"weight": 1, "backend": "local", "prompt": "p@2"}
    world.write()
    told = (await world.reload.reload()).differences
    assert told == (
        "route ask: variant w added, weight 1",
        "route ask: variable shop is required by w and not by v: requests without it fail on some units; a default "
        "avoids that",
    )
    world.variants["v"]["weight"] = 2
    world.write()
    assert (await world.reload.reload()).differences == ("route ask: variant v: weight 1 -> 2",)


def server(world: World) -> None:
    world.data["server"]["drain_timeout"] = 5.0


def backend(world: World) -> None:
    world.data["backends"]["local"]["max_loras"] = 4


def index(world: World) -> None:
    (world.folder / "facts" / "index.yaml").write_text("version: 1\ncandidates: 60\n")


def unknown(world: World) -> None:
    world.variants["v"]["wieght"] = 1


def dangling(world: World) -> None:
    world.variants["v"]["backend"] = "other"


def changed_prompt(world: World) -> None:
    world.prompt("p@1", "Answer at length.")


def broken_prompt(world: World) -> None:
    world.prompt("p@9", "{{ ")


def reranked(world: World) -> None:
    (world.folder / "cross").mkdir()
    (world.folder / "cross" / "config.json").write_text("{}")
    (world.folder / "facts" / "index.yaml").write_text("version: 1\ncandidates: 50\nrerank: {model: ../cross}\n")
    world.variants["v"]["retrieval"] = {"index": "facts", "rerank": True}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (server, r"trivet.yaml:3: server.drain_timeout: differs from what is served: needs a restart"),
        (backend, r"trivet.yaml:\d+: backends.local.max_loras: .*needs a restart"),
        (index, r"index.yaml:2: candidates: differs from what is served: needs a restart"),
        (unknown, r"trivet.yaml:\d+: routes.ask.variants.v.wieght: unknown field"),
        (dangling, r"trivet.yaml:\d+: routes.ask.variants.v.backend: no backend 'other'"),
        (changed_prompt, r"p/1.md:1: changed since it is served, expected a new version"),
        (broken_prompt, r"p/9.md:1: "),
        (reranked, r"index.yaml:3: rerank: .*needs a restart"),
    ],
)
async def test_what_is_wrong_or_needs_a_restart_changes_nothing(
    world: World, change: Callable[[World], None], told: str
) -> None:
    world.variants["new"] = {"weight": 1, "backend": "local", "prompt": "p@1"}
    world.data["prices"]["local"]["output_per_million_tokens"] = 3.0
    change(world)
    world.write()
    with pytest.raises(ConfigError, match=told):
        await world.reload.reload()
    assert set(world.route_updater.routes["ask"].variants) == {"v"}
    assert world.prices.backends["local"].output_per_million_tokens == 2.0


async def test_a_cross_encoder_that_nothing_asked_for_at_the_start_needs_a_restart(tmp_path: Path) -> None:
    (tmp_path / "cross").mkdir()
    (tmp_path / "cross" / "config.json").write_text("{}")
    world = World(tmp_path)
    index = tmp_path / "facts" / "index.yaml"
    index.write_text("version: 1\ncandidates: 50\nrerank: {model: ../cross}\n")
    updater, prompts = cast(RouteUpdater, world.route_updater), ServedPrompts.of(world.read())
    access = Access(world.keys, world.budgets)
    started = RouteReload(world.read(), world.read, updater, prompts, PriceSheet({}, {}), declarations(), access)
    world.variants["v"]["retrieval"] = {"index": "facts", "rerank": True}
    world.write()
    with pytest.raises(ConfigError, match="routes: nothing asked to rerank index facts at the start: needs a restart"):
        await started.reload()


async def test_a_change_that_could_not_be_warmed_leaves_no_trace(world: World) -> None:
    world.prompt("p@2", "Answer tersly.")
    world.variants["v"]["prompt"] = "p@2"
    world.data["prices"]["local"]["output_per_million_tokens"] = 3.0
    world.write()
    world.route_updater.problem = BackendUnavailable("the engine is down")
    with pytest.raises(BackendUnavailable):
        await world.reload.reload()
    assert set(world.prompts.assemblers) == {("local", VersionRef("p", "1"))}
    assert world.prices.backends["local"].output_per_million_tokens == 2.0
    world.route_updater.problem = None
    world.prompt("p@2", "Answer tersely.")  # it was never served, so it may still change
    await world.reload.reload()
    world.prompt("p@2", "Answer curtly.")
    with pytest.raises(ConfigError, match=r"p/2\.md:1: changed since it is served"):
        await world.reload.reload()


async def test_one_that_comes_during_another_reads_what_is_there_then(world: World) -> None:
    world.route_updater.gate.clear()
    world.variants["v"]["weight"] = 2
    world.write()
    first, second = (asyncio.create_task(world.reload.reload()) for _ in range(2))
    await world.route_updater.entered.wait()
    world.variants["v"]["weight"] = 3
    world.write()
    world.route_updater.gate.set()
    assert (await first).differences == ("route ask: variant v: weight 1 -> 2",)
    assert (await second).differences == ("route ask: variant v: weight 2 -> 3",)


async def test_a_caller_that_goes_away_stops_nothing_and_closing_does(world: World) -> None:
    world.route_updater.gate.clear()
    world.variants["v"]["weight"] = 2
    world.write()
    caller = asyncio.create_task(world.reload.reload())
    await world.route_updater.entered.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    world.route_updater.gate.set()
    while not world.route_updater.revision:
        await asyncio.sleep(0.01)
    world.route_updater.gate.clear()
    world.route_updater.entered.clear()
    waiting = asyncio.create_task(world.reload.reload())
    await world.route_updater.entered.wait()
    await world.reload.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert world.route_updater.revision == 1


def secret_key(name: str, secret: str, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return {"name": name, "sha256": digest, "tenant": "acme", "role": "client", **more}


async def test_keys_and_limits_are_replaced_without_a_restart(world: World) -> None:
    world.data["keys"] = [secret_key("old", "s1"), secret_key("kept", "s2", routes=["ask"])]
    world.write()
    change = await world.reload.reload()
    assert change.differences[-2:] == ("key kept is new", "key old is new")
    assert world.keys.authenticate("Bearer s1").key == "old"
    assert world.keys.authenticate("Bearer s2").routes == frozenset({"ask"})
    world.data["keys"] = [secret_key("kept", "s2"), secret_key("new", "s3", limits=[{"per": "day", "requests": 1}])]
    world.data["budgets"] = {"tenants": {"acme": [{"per": "minute", "tokens": 5}]}}
    world.write()
    change = await world.reload.reload()
    assert change.differences[-4:] == ("key kept is changed", "key new is new", "key old is gone", "budgets")
    assert world.keys.authenticate("Bearer s3").key == "new"
    assert world.keys.authenticate("Bearer s2").routes is None
    with pytest.raises(Unauthenticated):
        world.keys.authenticate("Bearer s1")
    with pytest.raises(AttributeError):  # it has limits, so the store, which is none here, is asked
        await world.budgets.reserve("acme", "new", Use())


async def test_a_reload_that_is_refused_leaves_the_keys(world: World) -> None:
    world.data["keys"] = [secret_key("a", "s1")]
    world.write()
    await world.reload.reload()
    world.data["keys"] = [secret_key("b", "s2", routes=["nowhere"])]
    world.write()
    with pytest.raises(ConfigError, match=r"keys.0.routes.0: no route 'nowhere'; known: ask"):
        await world.reload.reload()
    assert world.keys.authenticate("Bearer s1").key == "a"
