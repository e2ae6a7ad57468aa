"""Places in the engine's host memory: who gives way, who never does, and how one comes back."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Event

import pytest

from tests.support.adapters.house import OTHER, REF, House
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import BackendUnavailable
from trivet.types.adapter import AdapterState, AdapterTier, StagedAdapter
from trivet.types.variant import VersionRef

THIRD = VersionRef("third", "1")


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[House]:
    """Two places."""
    house = House(tmp_path, tiny_model)
    house.add(THIRD)
    yield house
    await house.close()
    assert house.engine.faults == []


def resident(house: House) -> list[str]:
    return sorted(name.split("@")[0] for name in house.engine.resident)


def tiers(house: House) -> dict[str, AdapterTier]:
    return {status.ref.name: status.tier for status in house.manager.statuses()}


async def fill(house: House, *refs: VersionRef) -> None:
    for ref in refs:
        await house.manager.load(ref)


async def test_the_one_used_longest_ago_gives_way_and_comes_back_for_a_request(house: House) -> None:
    await fill(house, REF, OTHER)
    async with house.use(REF):
        pass
    await fill(house, THIRD)
    assert resident(house) == ["third", "tone"]
    assert tiers(house) == {"third": AdapterTier.HOST, "tone": AdapterTier.HOST, "voice": AdapterTier.DISK}
    assert {status.state for status in house.manager.statuses()} == {AdapterState.READY}
    async with house.use(OTHER):
        assert resident(house) == ["third", "voice"]
        assert tiers(house)["voice"] is AdapterTier.LEASED
    assert house.loads == ["loaded"] * 3 + ["reloaded"]


async def test_one_in_use_never_gives_way(house: House) -> None:
    await fill(house, REF, OTHER)
    async with house.use(REF):
        async with house.use(OTHER):
            pass
        await fill(house, THIRD)
        assert resident(house) == ["third", "tone"]


async def test_with_all_in_use_there_are_more_until_one_is_free(house: House) -> None:
    await fill(house, REF, OTHER)
    async with AsyncExitStack() as stack:
        for ref in (REF, OTHER):
            await stack.enter_async_context(house.use(ref))
        await fill(house, THIRD)
        assert resident(house) == ["third", "tone", "voice"]
    await house.until(lambda: len(resident(house)) == 2)


async def test_what_variants_want_gives_way_last(house: House) -> None:
    house.wanted[REF] = ["a/b"]
    await house.manager.reconcile()
    await fill(house, OTHER, THIRD)
    assert resident(house) == ["third", "tone"]


async def test_after_a_restart_the_engine_gets_what_fits_and_the_rest_is_ready_on_the_disk(house: House) -> None:
    house.lifecycle = LifecycleSettings(host_places=2, max_loads=1)  # so that they come in order
    house.wanted[THIRD] = ["a/b"]
    await fill(house, OTHER, REF)
    for _ in range(2):
        await house.restart()
        await house.manager.reconcile()
        await house.until(lambda: {s.state for s in house.manager.statuses()} == {AdapterState.READY})
        assert resident(house) == ["third", "tone"]  # the variant's, and the request recorded last
        assert house.engine.verbs() == ["load", "load"]


async def test_concurrent_requests_share_one_reload_and_cancelling_them_stops_nothing(house: House) -> None:
    await fill(house, REF, OTHER, THIRD)
    house.engine.calls.clear()
    house.engine.gate.clear()

    async def ask() -> None:
        async with house.use(REF):
            pass

    requests = [asyncio.create_task(ask()) for _ in range(3)]
    await house.until(lambda: "load" in house.engine.verbs())
    requests[0].cancel()
    requests[1].cancel()
    unloading = asyncio.create_task(house.manager.unload(REF))
    await asyncio.sleep(0.02)
    house.engine.gate.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]
    await unloading
    assert house.engine.verbs().count("load") == 1
    assert "tone" not in resident(house)


async def test_one_that_is_on_its_way_out_is_added_after_it_is_out(house: House) -> None:
    await fill(house, REF, OTHER)
    house.engine.exit.clear()
    loading = asyncio.create_task(house.manager.load(THIRD))
    await house.until(lambda: house.engine.verbs()[-1] == "unload")
    async with house.use(OTHER):

        async def ask() -> None:
            async with house.use(REF) as engine_name:
                assert engine_name in house.engine.resident

        request = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        assert not request.done()
        house.engine.exit.set()
        await asyncio.gather(request, loading)


async def test_a_drain_waits_for_a_reload_that_nobody_waits_for(house: House) -> None:
    await fill(house, REF, OTHER, THIRD)
    house.engine.gate.clear()
    request = asyncio.create_task(house.manager.acquire(REF).__aenter__())
    await house.until(lambda: house.engine.verbs().count("load") == 4)
    request.cancel()
    unloading = asyncio.create_task(house.manager.unload(REF))
    await asyncio.sleep(0.02)
    assert not unloading.done()
    house.engine.gate.set()
    await unloading
    assert "tone" not in resident(house)
    assert all(not name.startswith("tone@") for name in house.staged())


async def test_a_drain_waits_for_a_copy_that_is_being_made_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the copy would be there after the adapter is gone."""
    await fill(house, REF, OTHER, THIRD)
    house.damage(REF)
    restore, begun, go_on = AdapterStaging.restore, Event(), Event()

    def slow(staging: AdapterStaging, ref: VersionRef, digest: str) -> StagedAdapter:
        begun.set()
        assert go_on.wait(10)
        return restore(staging, ref, digest)

    monkeypatch.setattr(AdapterStaging, "restore", slow)
    request = asyncio.create_task(house.manager.acquire(REF).__aenter__())
    await house.until(begun.is_set)
    request.cancel()
    unloading = asyncio.create_task(house.manager.unload(REF))
    await asyncio.sleep(0.05)
    assert not unloading.done()
    go_on.set()
    await unloading
    assert "tone" not in resident(house)
    assert all(not name.startswith("tone@") for name in house.staged())


async def test_a_cold_copy_is_checked_before_the_engine_reads_it(house: House) -> None:
    await fill(house, REF, OTHER, THIRD)
    house.damage(REF)
    async with house.use(REF):  # made again from the source
        assert "tone" in resident(house)
    await fill(house, OTHER, THIRD)
    house.damage(REF)
    house.rewrite(seed=9)
    await house.refused(REF, BackendUnavailable, "adapter tone@1 has failed: .* damaged")
    assert "tone" not in resident(house)
    house.rewrite(seed=1)
    await house.until(lambda: house.state(REF) is AdapterState.READY)  # tried again by itself


async def test_loads_are_bounded_over_all(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    refs = [VersionRef(f"many{number}", "1") for number in range(8)]
    house.add(*refs)
    stage, under_way, most = AdapterStaging.stage, 0, 0

    def counted(staging: AdapterStaging, ref: VersionRef) -> StagedAdapter:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return stage(staging, ref)
        finally:
            under_way -= 1

    monkeypatch.setattr(AdapterStaging, "stage", counted)
    await asyncio.gather(*map(house.manager.load, refs))
    assert most <= house.lifecycle.max_loads


async def test_five_hundred_under_zipf_traffic(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen places: nothing in use ever goes, the books are the engine's, and a warm request touches no file."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power cut is tested here, and it takes most of the time
    house = House(tmp_path, tiny_model)
    refs = [VersionRef(f"many{number:03}", "1") for number in range(500)]
    house.add(*refs)
    house.lifecycle = LifecycleSettings(host_places=16)
    await house.restart()
    house.wanted.update({ref: ["a/b"] for ref in refs})
    await house.manager.reconcile()
    assert {status.state for status in house.manager.statuses()} == {AdapterState.READY}
    assert len(house.engine.resident) == 16
    looks: Counter[str] = Counter()
    for name in ("is_sound", "known", "stage", "restore", "source_digest"):
        original = getattr(AdapterStaging, name)

        def counted(*arguments: object, name: str = name, original: object = original) -> object:
            looks[name] += 1
            return original(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(AdapterStaging, name, counted)
    chance = random.Random(5)
    weights = [1 / rank for rank in range(1, len(refs) + 1)]

    async def client() -> None:
        for ref in chance.choices(refs, weights, k=30):
            async with house.use(ref) as engine_name:
                assert engine_name in house.engine.resident
                await asyncio.sleep(chance.choice([0, 0.001]))
                assert engine_name in house.engine.resident

    await asyncio.gather(*[client() for _ in range(12)])
    reloads = house.loads.count("reloaded")
    assert 0 < reloads < 12 * 30
    assert looks == Counter({"is_sound": reloads})
    held = [status for status in house.manager.statuses() if status.tier is not AdapterTier.DISK]
    assert sorted(status.engine_name for status in held) == sorted(house.engine.resident)
    assert len(held) <= 16
    await house.manager.list()
    assert looks["known"] == 1
    assert house.engine.faults == []
    await house.close()
