"""What operators asked for: it survives restarts with its bytes, and is whole or not there."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.adapters.house import OTHER, REF, House
from trivet.errors import AdapterRejected, BackendUnavailable, FailedPrecondition, NotFound, StateUnavailable
from trivet.types.adapter import AdapterState


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[House]:
    house = House(tmp_path, tiny_model)
    yield house
    await house.close()
    assert house.engine.faults == []


async def come_back(house: House) -> None:
    await house.restart()
    await house.manager.reconcile()


async def test_a_request_comes_back_with_its_bytes_whatever_the_source_has(house: House) -> None:
    before = await house.manager.load(REF)
    assert before.requested
    house.rewrite(seed=9)
    await come_back(house)
    await house.until(lambda: house.engine.resident == [before.engine_name])
    house.remove("tone")
    await come_back(house)
    await house.until(lambda: house.engine.resident == [before.engine_name])
    assert house.status(REF).requested


async def test_the_bytes_of_a_request_also_serve_a_variant(house: House) -> None:
    before = await house.manager.load(REF)
    house.rewrite(seed=9)
    house.wanted[REF] = ["a/b"]
    await come_back(house)
    assert house.engine.resident == [before.engine_name]


async def test_a_withdrawn_request_does_not_come_back(house: House) -> None:
    await house.manager.load(REF)
    await house.manager.unload(REF)
    await come_back(house)
    assert not house.status(REF).requested
    assert house.staged() == house.engine.resident == []


async def test_a_variants_adapter_is_no_request(house: House) -> None:
    house.wanted[REF] = ["a/b"]
    await house.manager.reconcile()
    assert not house.status(REF).requested
    house.wanted.clear()
    await come_back(house)
    assert house.staged() == house.engine.resident == []


async def test_load_of_a_ready_one_records_the_wish(house: House) -> None:
    house.wanted[REF] = ["a/b"]
    await house.manager.reconcile()
    assert (await house.manager.load(REF)).requested
    assert house.engine.verbs() == ["load"]
    house.wanted.clear()
    await come_back(house)
    await house.until(lambda: house.state(REF) is AdapterState.READY)


async def test_a_refused_unload_changes_nothing(house: House) -> None:
    await house.manager.load(REF)
    house.wanted[REF] = ["support/warm", "sales/warm"]
    with pytest.raises(FailedPrecondition, match="adapter tone@1 is used by support/warm, sales/warm"):
        await house.manager.unload(REF)
    assert house.status(REF).requested
    house.wanted.clear()
    await come_back(house)
    await house.until(lambda: house.state(REF) is AdapterState.READY)


async def test_a_refused_adapter_is_no_request_and_says_why_until_it_is_dealt_with(house: House) -> None:
    (house.root / "tone" / "1" / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterRejected):
        await house.manager.load(REF)
    status = house.status(REF)
    assert (status.state, status.requested) == (AdapterState.FAILED, False)
    assert "peft_type" in status.problem
    await house.manager.unload(REF)
    assert house.manager.statuses() == []
    with pytest.raises(NotFound):
        await house.manager.unload(REF)


async def test_an_adapter_that_is_not_there_leaves_nothing(house: House) -> None:
    with pytest.raises(NotFound):
        await house.manager.load(REF.__class__("nobody", "1"))
    assert house.manager.statuses() == []


async def test_a_damaged_copy_is_made_again_from_the_same_bytes(house: House) -> None:
    before = await house.manager.load(REF)
    house.damage(REF)
    await come_back(house)
    await house.until(lambda: house.engine.resident == [before.engine_name])


async def test_other_bytes_never_stand_in_for_a_damaged_copy(house: House) -> None:
    """The gateway starts, says why, and goes on trying until the bytes are back."""
    before = await house.manager.load(REF)
    house.damage(REF)
    house.rewrite(seed=9)
    await come_back(house)
    await house.until(lambda: house.state(REF) is AdapterState.FAILED)
    assert f"expected {before.digest[:12]}" in house.status(REF).problem
    assert house.engine.resident == []
    house.rewrite(seed=1)
    await house.until(lambda: house.engine.resident == [before.engine_name])
    assert (house.state(REF), house.status(REF).problem) == (AdapterState.READY, "")


async def test_a_request_that_fails_keeps_nobody_waiting(house: House) -> None:
    await house.manager.load(REF)
    house.damage(REF)
    house.remove("tone")
    house.wanted[OTHER] = ["a/b"]
    await come_back(house)
    assert house.state(OTHER) is AdapterState.READY
    await house.until(lambda: house.loads.count("rejected") > 2)
    assert house.state(REF) is AdapterState.FAILED
    await house.manager.unload(REF)
    tried = house.loads.count("rejected")
    await asyncio.sleep(0.2)
    assert house.loads.count("rejected") == tried


async def test_a_copy_that_no_longer_fits_is_not_loaded(house: House) -> None:
    await house.manager.load(REF)
    house.settings = house.settings.__class__(
        house.settings.roots, house.settings.staging, house.settings.base_model, 4
    )
    await come_back(house)
    await house.until(lambda: house.state(REF) is AdapterState.FAILED)
    assert "rank" in house.status(REF).problem or "r is 8" in house.status(REF).problem
    assert house.engine.resident == []


async def test_an_engine_that_dies_during_a_load(house: House) -> None:
    house.engine.gate.clear()
    loading = asyncio.create_task(house.manager.load(REF))
    await house.until(lambda: house.engine.calls != [])
    house.engine.die()
    house.engine.gate.set()
    with pytest.raises(BackendUnavailable):
        await loading
    assert house.manager.statuses() == []
    assert house.staged() == []
    house.engine.restart()
    assert (await house.manager.load(REF)).state is AdapterState.READY


async def test_an_engine_that_dies_and_what_was_wished_and_wanted(house: House) -> None:
    house.wanted[OTHER] = ["a/b"]
    await house.manager.reconcile()
    await house.manager.load(REF)
    before = sorted(house.engine.resident)
    house.engine.die()
    with pytest.raises(BackendUnavailable):
        await house.manager.reconcile()
    assert (house.state(REF), house.state(OTHER)) == (AdapterState.STAGED, AdapterState.STAGED)
    house.engine.restart()
    await house.manager.reconcile()
    await house.until(lambda: sorted(house.engine.resident) == before)


async def test_an_engine_that_dies_during_a_drain(house: House) -> None:
    await house.manager.load(REF)
    async with house.use(REF):
        unloading = asyncio.create_task(house.manager.unload(REF))
        await house.until(lambda: house.state(REF) is AdapterState.DRAINING)
        house.engine.restart()
        await house.manager.reconcile()
        assert not unloading.done()
    assert (await unloading).state is AdapterState.REGISTERED
    assert house.engine.resident == house.staged() == []


async def test_the_order_of_load_and_unload_is_kept(house: House) -> None:
    house.engine.gate.clear()
    loading = asyncio.create_task(house.manager.load(REF))
    await house.until(lambda: house.engine.calls != [])
    unloading = asyncio.create_task(house.manager.unload(REF))
    await asyncio.sleep(0.01)
    house.engine.gate.set()
    assert (await loading).state is AdapterState.READY
    assert (await unloading).state is AdapterState.REGISTERED
    assert house.engine.resident == house.staged() == []
    await come_back(house)
    assert house.engine.calls == []


async def test_a_load_whose_caller_is_gone_is_finished_and_recorded(house: House) -> None:
    house.engine.gate.clear()
    loading = asyncio.create_task(house.manager.load(REF))
    await house.until(lambda: house.engine.calls != [])
    loading.cancel()
    house.engine.gate.set()
    await house.until(lambda: house.status(REF).requested)
    await come_back(house)
    await house.until(lambda: house.state(REF) is AdapterState.READY)


async def test_books_that_cannot_be_written(house: House) -> None:
    """Nothing is acknowledged that a restart would forget, and nothing forgotten that it would bring back."""
    await house.manager.load(OTHER)
    with closing(sqlite3.connect(house.database)) as other:
        other.execute("ALTER TABLE desired_adapter RENAME TO elsewhere")
    with pytest.raises(StateUnavailable, match="state store cannot be used: no such table"):
        await house.manager.load(REF)
    assert [status.ref for status in house.manager.statuses()] == [OTHER]
    with pytest.raises(StateUnavailable):
        await house.manager.unload(OTHER)
    assert house.state(OTHER) is AdapterState.READY
    assert len(house.engine.resident) == len(house.staged()) == 1


async def test_what_nobody_wants_any_more_drains_and_goes(house: House) -> None:
    house.wanted[REF] = ["a/old"]
    await house.manager.reconcile()
    async with house.use(REF) as old:
        house.wanted[OTHER] = ["a/new"]
        await house.manager.reconcile()
        del house.wanted[REF]
        await house.manager.reconcile()
        await house.until(lambda: house.state(REF) is AdapterState.DRAINING)
        assert old in house.engine.resident
    await house.until(lambda: house.state(REF) is AdapterState.REGISTERED)
    assert [name.split("#")[0] for name in house.engine.resident] == ["voice@1"]
    assert house.staged() == house.engine.resident


async def test_what_is_wanted_again_while_it_drains_stays(house: House) -> None:
    await house.manager.load(REF)
    async with house.use(REF):
        unloading = asyncio.create_task(house.manager.unload(REF))
        await house.until(lambda: house.state(REF) is AdapterState.DRAINING)
        house.wanted[REF] = ["a/b"]
        await house.manager.reconcile()
        with pytest.raises(FailedPrecondition, match="used by a/b again, and stays"):
            await unloading
        async with house.use(REF):
            pass
    assert house.engine.verbs() == ["load"]
    assert not house.status(REF).requested


async def test_list_shows_what_the_sources_have_too(house: House) -> None:
    await house.manager.load(OTHER)
    assert [(status.ref, status.state) for status in await house.manager.list()] == [
        (REF, AdapterState.REGISTERED),
        (OTHER, AdapterState.READY),
    ]
    assert [status.ref for status in house.manager.statuses()] == [OTHER]
