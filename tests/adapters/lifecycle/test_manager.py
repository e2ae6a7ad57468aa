"""Adapter manager: loads are shared, unloads drain, names are never used for other bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.adapters.house import OTHER, REF, House
from trivet.errors import AdapterRejected, BackendUnavailable, FailedPrecondition, NotFound
from trivet.types.adapter import AdapterState, AdapterTier


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[House]:
    house = House(tmp_path, tiny_model)
    yield house
    await house.close()


async def test_load_acquire_unload(house: House) -> None:
    assert [(status.ref, status.state) for status in await house.manager.list()] == [
        (REF, AdapterState.REGISTERED),
        (OTHER, AdapterState.REGISTERED),
    ]
    status = await house.manager.load(REF)
    assert (status.state, status.tier, status.rank) == (AdapterState.READY, AdapterTier.HOST, 8)
    assert house.engine.resident == [status.engine_name] == house.staged()
    async with house.manager.acquire(REF) as lease:
        assert lease is not None
        assert (lease.engine_name, lease.digest) == (status.engine_name, status.digest)
        assert house.status(REF).tier is AdapterTier.LEASED
    assert house.status(REF).tier is AdapterTier.HOST
    gone = await house.manager.unload(REF)
    assert (gone.state, gone.tier, gone.engine_name) == (AdapterState.REGISTERED, AdapterTier.DISK, "")
    assert house.engine.resident == house.staged() == []
    with pytest.raises(NotFound):
        await house.manager.unload(REF)


async def test_base_model_needs_no_adapter(house: House) -> None:
    async with house.manager.acquire(None) as lease:
        assert lease is None


async def test_concurrent_loads_are_one(house: House) -> None:
    house.engine.gate.clear()
    loads = [asyncio.create_task(house.manager.load(REF)) for _ in range(5)]
    while not house.engine.calls:
        await asyncio.sleep(0.01)
    with pytest.raises(BackendUnavailable, match="adapter tone@1 is warming"):
        async with house.manager.acquire(REF):
            pass
    loads[0].cancel()
    await asyncio.sleep(0)
    house.engine.gate.set()
    done = await asyncio.gather(*loads, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert {status.state for status in done[1:] if not isinstance(status, BaseException)} == {AdapterState.READY}
    assert len(house.engine.calls) == 1
    assert house.loads == ["loaded"]


async def test_unload_drains_and_load_waits_for_it(house: House) -> None:
    await house.manager.load(REF)
    async with house.manager.acquire(REF):
        first, second = (asyncio.create_task(house.manager.unload(REF)) for _ in range(2))
        await asyncio.sleep(0.05)
        again = asyncio.create_task(house.manager.load(REF))
        await asyncio.sleep(0.05)
        assert house.engine.calls[1:] == []
        assert house.state(REF) is AdapterState.DRAINING
        with pytest.raises(BackendUnavailable, match="draining"):
            async with house.manager.acquire(REF):
                pass
    await asyncio.gather(first, second)
    assert (await again).state is AdapterState.READY
    assert house.engine.verbs() == ["load", "unload", "load"]


async def test_cancelled_unload_goes_on(house: House) -> None:
    await house.manager.load(REF)
    async with house.manager.acquire(REF):
        unload = asyncio.create_task(house.manager.unload(REF))
        await asyncio.sleep(0.01)
        unload.cancel()
        await asyncio.wait({unload})
    for _ in range(100):
        await asyncio.sleep(0.01)
        if not house.engine.resident:
            return
    pytest.fail("still resident")


async def test_unload_of_a_wanted_one(house: House) -> None:
    await house.manager.load(REF)
    house.wanted[REF] = ["support/warm", "sales/warm"]
    with pytest.raises(FailedPrecondition, match="adapter tone@1 is used by support/warm, sales/warm"):
        await house.manager.unload(REF)
    assert house.engine.resident


async def test_other_bytes_under_a_loaded_name(house: House) -> None:
    before = await house.manager.load(REF)
    assert (await house.manager.load(REF)).digest == before.digest
    house.rewrite(seed=9)
    with pytest.raises(FailedPrecondition, match=f"is loaded with digest {before.digest[:12]}, and its source has"):
        await house.manager.load(REF)
    assert house.engine.resident == [before.engine_name]
    await house.manager.unload(REF)
    after = await house.manager.load(REF)
    assert after.engine_name != before.engine_name
    assert house.staged() == [after.engine_name]


async def test_refused_by_the_engine(house: House) -> None:
    house.engine.refusal = AdapterRejected("no")
    with pytest.raises(AdapterRejected):
        await house.manager.load(REF)
    assert house.staged() == []
    with pytest.raises(NotFound):
        async with house.manager.acquire(REF):
            pass
    house.engine.refusal = None
    assert (await house.manager.load(REF)).state is AdapterState.READY
    assert house.loads == ["rejected", "loaded"]


async def test_wanted_ones_are_all_tried(house: House) -> None:
    house.wanted.update({REF: ["a/b"], OTHER: ["a/c"]})
    (house.root / "tone" / "1" / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterRejected, match="peft_type is None"):
        await house.manager.reconcile()
    first, second = house.manager.statuses()
    assert (first.state, second.state) == (AdapterState.FAILED, AdapterState.READY)
    assert "peft_type" in first.problem
    with pytest.raises(BackendUnavailable, match=r"adapter tone@1 has failed: .*peft_type"):
        async with house.manager.acquire(REF):
            pass


async def test_restarted_engine_gets_the_same_bytes_back(house: House) -> None:
    house.wanted[REF] = ["a/b"]
    await house.manager.reconcile()
    await house.manager.load(OTHER)
    before = sorted(house.engine.resident)
    house.engine.restart()
    house.rewrite(seed=9)
    with pytest.raises(BackendUnavailable, match="adapter tone@1 is staged"):
        async with house.manager.acquire(REF):
            pass
    await house.manager.reconcile()
    await house.until(lambda: sorted(house.engine.resident) == before)
    async with house.manager.acquire(REF) as lease:
        assert lease is not None
        assert lease.engine_name in before


async def test_engine_that_is_not_ready(house: House) -> None:
    await house.manager.load(REF)
    house.engine.ready = False
    with pytest.raises(BackendUnavailable, match="the engine is not ready"):
        async with house.manager.acquire(REF):
            pass


async def test_copies_of_a_former_process_are_swept_at_first(house: House) -> None:
    house.wanted[REF] = ["a/b"]
    await house.manager.reconcile()
    (house.settings.staging / ".tmp-dead").mkdir()
    await house.restart()
    house.wanted.clear()
    house.wanted[OTHER] = ["a/b"]
    await house.manager.reconcile()
    assert [name.split("#")[0] for name in house.staged()] == ["voice@1"]
