"""Adapters that requests choose: first use, pins, turns, places, copies, and what is remembered of bad ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.adapters.house import REF, House
from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.on_demand import failures
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.adapters.on_demand.settings import OnDemandSettings
from trivet.adapters.pins import AdapterPins
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import AdapterRejected, AdapterSourceUnavailable, BackendUnavailable, NotFound, Overloaded
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import AdapterState, StagedAdapter
from trivet.types.variant import VersionRef


def own(tenant: str, version: str = "1") -> VersionRef:
    return VersionRef(tenant, version)


class Slow(AdapterStaging):
    """Counts what is looked for, and holds it up."""

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]
        self.staged: list[str] = []
        self.looked = 0
        self.before: Callable[[VersionRef], None] = lambda _: None

    def stage(self, ref: VersionRef) -> StagedAdapter:
        self.staged.append(str(ref))
        self.before(ref)
        return super().stage(ref)

    def fingerprint(self, ref: VersionRef) -> str:
        self.looked += 1
        return super().fingerprint(ref)


class OnDemandHouse(House):
    """A house whose adapters are chosen by requests."""

    on_demand: OnDemandAdapters
    staging: Slow

    async def open(self, **settings: float) -> OnDemandHouse:
        await self.manager.close()
        self.staging = Slow(self.settings)
        self.pins = await AdapterPins.open(self.database.with_name("pins.sqlite"))
        self.manager = AdapterManager(
            self.staging, self.engine, self.demand, self.store.desired_adapters, self.lifecycle,
            lambda outcome, _: self.loads.append(outcome), self.pins,
        )  # fmt: skip
        bounds = replace(OnDemandSettings(host_places=self.lifecycle.host_places), **settings)  # type: ignore[arg-type]
        self.starts: list[str] = []
        self.on_demand = OnDemandAdapters(
            self.manager, self.staging, self.demand, self.pins, bounds, lambda outcome, _: self.starts.append(outcome)
        )
        return self

    async def close(self) -> None:
        if hasattr(self, "on_demand"):
            await self.on_demand.close()
            self.pins.close()
        await super().close()

    async def again(self, **settings: float) -> None:
        """The gateway ends and starts again."""
        await self.restart()
        await self.open(**settings)

    def give(self, ref: VersionRef, seed: int) -> None:
        write_adapter(self.root / ref.name / ref.version, adapter_files(seed))

    @asynccontextmanager
    async def chosen(self, ref: VersionRef, tenant: str | None = None) -> AsyncIterator[str]:
        async with self.on_demand.acquire(ref, tenant or ref.name) as lease:
            self.engine.in_use[lease.engine_name] += 1
            try:
                assert lease.engine_name in self.engine.resident
                yield lease.digest
            finally:
                self.engine.in_use[lease.engine_name] -= 1

    async def ask(self, ref: VersionRef, tenant: str | None = None) -> str:
        async with self.chosen(ref, tenant) as digest:
            return digest


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[OnDemandHouse]:
    """Two places in the engine."""
    house = OnDemandHouse(tmp_path, tiny_model)
    for seed, tenant in enumerate("abcdef"):
        house.give(own(tenant), seed)
    await house.open()
    yield house
    await house.close()
    assert house.engine.faults == []


def copies(house: OnDemandHouse) -> list[str]:
    return [name.partition("@")[0] for name in house.staged()]


async def test_the_first_request_brings_it_in_and_the_next_one_waits_for_nothing(house: OnDemandHouse) -> None:
    assert not house.on_demand.at_hand(own("a"))
    digest = await house.ask(own("a"))
    assert house.on_demand.at_hand(own("a"))
    assert await house.ask(own("a")) == digest == house.pins.get(own("a"))
    assert (house.starts, house.staging.staged) == (["started"], ["a@1"])


async def test_requests_at_the_same_time_share_one_cold_start(house: OnDemandHouse) -> None:
    assert len({await one for one in asyncio.as_completed([house.ask(own("a"), t) for t in "abcabc"])}) == 1
    assert house.staging.staged == ["a@1"]


async def test_other_bytes_under_the_same_version_are_refused_until_an_operator_unloads_it(
    house: OnDemandHouse,
) -> None:
    digest = await house.ask(own("a"))
    house.rewrite(77, "a")
    assert await house.ask(own("a")) == digest  # its copy is what it was
    await house.manager.dismiss(own("a"))
    with pytest.raises(AdapterRejected, match="expected " + digest[:12]):
        await house.ask(own("a"))
    await house.again()
    with pytest.raises(AdapterRejected, match="expected " + digest[:12]):
        await house.ask(own("a"))
    house.on_demand._failures.forget("a", own("a"))
    await house.manager.unload(own("a"))
    assert await house.ask(own("a")) != digest


async def test_copies_and_pins_outlive_the_gateway(house: OnDemandHouse) -> None:
    digest = await house.ask(own("a"))
    house.remove("a")
    await house.again()
    assert await house.ask(own("a")) == digest
    assert house.staging.staged == []  # the source was not asked


async def test_one_in_use_never_gives_way_and_who_finds_no_place_waits(house: OnDemandHouse) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(house.chosen(own("a")))
        leaving = await stack.enter_async_context(AsyncExitStack())
        await leaving.enter_async_context(house.chosen(own("b")))
        third = asyncio.create_task(house.ask(own("c")))
        await asyncio.sleep(0.1)
        assert not third.done()
        assert len(house.engine.resident) == 2
        await leaving.aclose()
        await third
        assert sorted(name[0] for name in house.engine.resident) == ["a", "c"]


async def test_adapters_of_fixed_variants_are_not_evicted_by_strangers(house: OnDemandHouse) -> None:
    house.wanted[REF] = ["a/b"]
    await house.manager.reconcile()
    for _ in range(2):
        for tenant in "abcdef":
            await house.ask(own(tenant))
            assert "tone" in {name.partition("@")[0] for name in house.engine.resident}
            assert len(house.engine.resident) <= 2


async def test_an_operators_adapter_gives_way_after_those_of_requests(house: OnDemandHouse) -> None:
    await house.manager.load(REF)
    await house.ask(own("a"))
    await house.manager.load(VersionRef("voice", "1"))
    assert sorted(name.partition("@")[0] for name in house.engine.resident) == ["tone", "voice"]


async def test_the_disk_is_bounded_and_the_copy_used_longest_ago_goes(house: OnDemandHouse) -> None:
    await house.ask(own("a"))
    size = house.on_demand.copied_bytes
    assert size > 1000
    await house.again(disk_bytes=int(2.5 * size))
    for tenant in "bacad":
        await house.ask(own(tenant))
        assert house.on_demand.copied_bytes <= 2.5 * size
        assert len(copies(house)) <= 2
    assert copies(house) == ["a", "d"]
    assert house.on_demand.copies == 2


async def test_what_does_not_fit_beside_those_in_use_is_refused_and_leaves_nothing(house: OnDemandHouse) -> None:
    async with house.chosen(own("a")):
        size = house.on_demand.copied_bytes
    await house.again(disk_bytes=int(1.5 * size))
    async with house.chosen(own("a")):
        with pytest.raises(Overloaded, match="bytes of adapters in use") as refused:
            await house.ask(own("b"))
        assert refused.value.retry_after > 0
        assert copies(house) == ["a"]
    await house.ask(own("b"))
    assert copies(house) == ["b"]


async def test_a_missing_one_is_not_looked_for_again_and_found_soon_after_it_comes(
    house: OnDemandHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RECHECK", 0.05)
    new = own("new")
    for _ in range(50):
        with pytest.raises(NotFound):
            await house.ask(new)
    assert house.staging.staged == ["new@1"]
    assert house.manager.statuses() == []
    house.give(new, 9)
    await asyncio.sleep(0.06)
    async with asyncio.timeout(60):
        while True:
            try:
                await house.ask(new)
                break
            except NotFound:
                await asyncio.sleep(0.01)
    assert house.staging.staged == ["new@1"] * 2


async def test_a_bad_one_cannot_be_retried_into_a_storm_and_works_soon_after_it_is_mended(
    house: OnDemandHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "RECHECK", 0.05)
    weights = house.root / "a" / "1" / "adapter_model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(b"x" * 100)
    results = await asyncio.gather(*(house.ask(own("a")) for _ in range(100)), return_exceptions=True)
    assert {type(result) for result in results} == {AdapterRejected}
    for _ in range(20):
        with pytest.raises(AdapterRejected):
            await house.ask(own("a"))
        await asyncio.sleep(0.01)
    assert house.staging.staged == ["a@1"]
    assert 1 <= house.staging.looked <= 8
    assert house.staged() == []
    weights.write_bytes(good)
    await asyncio.sleep(0.06)
    async with asyncio.timeout(60):
        while True:
            try:
                await house.ask(own("a"))
                break
            except AdapterRejected:
                await asyncio.sleep(0.01)


async def test_what_is_remembered_is_bounded_for_each_tenant(house: OnDemandHouse) -> None:
    memory = house.on_demand._failures
    await memory.remember("b", own("b"), NotFound("b"), 60)
    for number in range(3 * failures.PER_TENANT):
        await memory.remember("a", own("a", str(number)), NotFound("a"), 60)
    assert len(memory._known["a"]) == failures.PER_TENANT
    with pytest.raises(NotFound):
        memory.raise_known("b", own("b"))


async def test_a_source_that_is_away_is_asked_again_after_a_while(house: OnDemandHouse) -> None:
    def away(ref: VersionRef) -> None:
        raise AdapterSourceUnavailable("the bucket is away", 0.1)

    house.staging.before = away
    for _ in range(20):
        with pytest.raises(AdapterSourceUnavailable):
            await house.ask(own("a"))
    assert house.staging.staged == ["a@1"]
    house.staging.before = lambda _: None
    await asyncio.sleep(0.15)
    await house.ask(own("a"))


async def test_a_tenant_that_loads_all_the_time_waits_for_itself(house: OnDemandHouse) -> None:
    for version in range(12):
        house.give(own("heavy", f"v{version}"), 50 + version)
    await house.again(at_once=1, max_waiting_per_tenant=20)
    order: list[str] = []

    async def ask(ref: VersionRef) -> None:
        await house.ask(ref)
        order.append(ref.name)

    heavy = [asyncio.create_task(ask(own("heavy", f"v{version}"))) for version in range(12)]
    await house.until(lambda: len(order) >= 2)
    begun = len(order)
    await ask(own("a"))
    await asyncio.gather(*heavy)
    assert order.index("a") - begun <= 2  # the one that runs, and perhaps one that ends at the same time


async def test_queues_are_bounded_by_tenant_and_over_all_and_refusals_say_when_to_come_back(
    house: OnDemandHouse,
) -> None:
    for version in range(10):
        house.give(own("heavy", f"v{version}"), 50 + version)
    await house.again(at_once=1, max_waiting=4, max_waiting_per_tenant=3)
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    house.staging.before = lambda _: asyncio.run_coroutine_threadsafe(_wait(gate), loop).result()
    heavy = [asyncio.create_task(house.ask(own("heavy", "v0")))]
    await house.until(lambda: house.staging.staged == ["heavy@v0"])
    heavy += [asyncio.create_task(house.ask(own("heavy", f"v{version}"))) for version in range(1, 10)]
    await house.until(lambda: sum(task.done() for task in heavy) == 6)  # one began, three wait
    refused = [task.exception() for task in heavy if task.done()]
    assert all(isinstance(one, Overloaded) and one.retry_after >= 1 for one in refused)
    assert {str(one).partition(";")[0] for one in refused} == {"too many adapters of this tenant waiting (limit 3)"}
    others = [asyncio.create_task(house.ask(own(tenant))) for tenant in "abc"]
    await house.until(lambda: any(task.done() for task in (*heavy[:4], *others)))
    gate.set()
    results = await asyncio.gather(*heavy[:4], *others, return_exceptions=True)
    assert all(isinstance(result, str) for result in results[4:])  # the tenant with the most gave way
    assert house.on_demand.waiting == 0
    assert set(house.starts) == {"started", "refused"}


async def _wait(gate: asyncio.Event) -> None:
    await gate.wait()


async def test_who_leaves_the_line_leaves_nothing_behind(house: OnDemandHouse) -> None:
    await house.again(at_once=1)
    gate, loop = asyncio.Event(), asyncio.get_running_loop()
    house.staging.before = lambda _: asyncio.run_coroutine_threadsafe(_wait(gate), loop).result()
    first, second = (asyncio.create_task(house.ask(own(tenant))) for tenant in "ab")
    await house.until(lambda: house.staging.staged == ["a@1"])
    second.cancel()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert house.on_demand.waiting == 0
    gate.set()
    await house.until(lambda: house.on_demand.at_hand(own("a")))  # what had begun is finished
    assert house.staging.staged == ["a@1"]
    await house.until(lambda: not house.on_demand._arrivals._arrivals)
    assert house.manager.on_demand().total() == 1


async def test_after_the_engines_death_each_comes_back_when_it_is_asked_for(house: OnDemandHouse) -> None:
    digests = {tenant: await house.ask(own(tenant)) for tenant in "abc"}
    house.engine.die()
    with pytest.raises(BackendUnavailable):
        await house.ask(own("a"))
    house.engine.restart()
    house.engine.calls.clear()
    await house.manager.reconcile()
    assert house.engine.calls == []
    assert {tenant: await house.ask(own(tenant)) for tenant in "abc"} == digests
    assert house.staging.staged == ["a@1", "b@1", "c@1"]


async def test_one_that_the_engine_dies_of_twice_is_left_alone(house: OnDemandHouse) -> None:
    async def die(_: object) -> None:
        house.engine.die()
        raise BackendUnavailable("the engine died")

    load = house.engine.load_adapter
    house.engine.load_adapter = die  # type: ignore[method-assign, assignment]
    for _ in range(2):
        with pytest.raises(BackendUnavailable):
            await house.ask(own("a"))
        house.engine.restart()
    with pytest.raises(AdapterRejected, match="the engine died 2 times"):
        await house.ask(own("a"))
    house.engine.load_adapter = load  # type: ignore[method-assign]
    await house.ask(own("b"))


async def test_one_that_the_engine_refuses_is_remembered_as_bad(house: OnDemandHouse) -> None:
    house.engine.refusal = AdapterRejected("no such module")
    for _ in range(5):
        with pytest.raises(AdapterRejected, match="no such module"):
            await house.ask(own("a"))
    assert house.engine.verbs().count("load") == 1
    assert house.staged() == []


async def test_one_that_a_fixed_variant_uses_too_is_shared_and_stays(house: OnDemandHouse) -> None:
    house.wanted[own("a")] = ["a/b"]
    await house.manager.reconcile()
    await house.ask(own("a"))
    await house.manager.dismiss(own("a"))
    assert house.state(own("a")) is AdapterState.READY
    assert house.manager.on_demand().total() == 0


async def test_random_traffic_gets_the_right_bytes_and_stays_in_all_bounds(house: OnDemandHouse) -> None:
    import random

    random_ = random.Random(5)
    digests = {tenant: await house.ask(own(tenant)) for tenant in "abcdef"}
    size = house.on_demand.copied_bytes // 6
    await house.again(disk_bytes=int(5.5 * size), max_waiting_per_tenant=50)

    async def client(number: int) -> None:
        for _ in range(15):
            tenant = random_.choice("abcdef")
            try:
                async with house.chosen(own(tenant)) as digest:
                    assert digest == digests[tenant]
                    await asyncio.sleep(random_.random() * 0.004)
                    assert len(house.engine.resident) <= 2
            except (BackendUnavailable, Overloaded):
                await asyncio.sleep(0.01)
            if number == 0 and random_.random() < 0.2:
                house.engine.in_use.clear()
                house.engine.restart()

    await asyncio.gather(*map(client, range(1, 6)))
    assert house.on_demand.copied_bytes <= 5.5 * size
    assert len(house.staged()) <= 5


async def test_a_tenant_that_walks_through_many_leaves_others_their_few(house: OnDemandHouse) -> None:
    await house.ask(own("a"))
    for name in "bcdbcd":
        await house.ask(own(name), "greedy")
    assert house.on_demand.at_hand(own("a"))
    assert house.on_demand.at_hand(own("d"))
    for name in "efef":
        await house.ask(own(name))  # each has one: the one used longest ago goes
    assert not house.on_demand.at_hand(own("a"))
