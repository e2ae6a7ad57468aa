"""What operators ask of one gateway, the others of its state store do, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.adapters.house import OTHER, REF, House
from trivet.adapters.lifecycle.follower import DesiredFollower
from trivet.errors import StateUnavailable
from trivet.types.adapter import AdapterState, DesiredAdapter
from trivet.types.variant import VersionRef


@pytest.fixture
async def house(tmp_path: Path, tiny_model: Path) -> AsyncIterator[House]:
    """With another gateway: whoever writes to the store beside the manager."""
    house = House(tmp_path, tiny_model)
    await house.manager.reconcile()
    yield house
    await house.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def digest_of(house: House, ref: VersionRef) -> str:
    digest = await house.manager.source_digest(ref)
    assert digest is not None
    return digest


async def test_what_another_gateway_was_asked_for_is_loaded_and_goes(house: House) -> None:
    await house.store.desired_adapters.record("fake", DesiredAdapter(REF, await digest_of(house, REF)))
    follower = DesiredFollower(house.manager, every=0.02)
    follower.start()
    await until(lambda: house.state(REF) is AdapterState.READY)
    async with house.manager.acquire(REF):
        await house.store.desired_adapters.withdraw("fake", REF)
        await until(lambda: house.state(REF) is AdapterState.DRAINING)
        assert len(house.engine.resident) == 1
    await until(lambda: house.engine.resident == [])
    await follower.close()


async def test_what_is_asked_for_here_meanwhile_stands(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.manager.load(REF)
    read, asked, go_on = house.store.desired_adapters.all, asyncio.Event(), asyncio.Event()

    async def late(backend: str) -> list[DesiredAdapter]:
        found = await read(backend)
        asked.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(house.store.desired_adapters, "all", late)
    following = asyncio.create_task(house.manager.follow())
    await asked.wait()
    await house.manager.unload(REF)
    await house.manager.load(OTHER)
    go_on.set()
    await following
    assert [status.ref for status in house.manager.statuses()] == [OTHER]
    await house.manager.follow()
    assert [status.ref for status in house.manager.statuses()] == [OTHER]


async def test_other_bytes_are_loaded_once_the_former_are_gone(house: House) -> None:
    await house.manager.load(REF)
    await house.store.desired_adapters.record("fake", DesiredAdapter(REF, "0" * 64))
    await house.manager.follow()
    await until(lambda: house.engine.resident == [])
    await house.manager.follow()
    await until(lambda: "digest" in house.status(REF).problem)  # not those that are there


async def test_without_the_store_what_is_loaded_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.manager.load(REF)
    calls = 0

    async def away(_backend: str) -> list[DesiredAdapter]:
        nonlocal calls
        calls += 1
        raise StateUnavailable("away")

    monkeypatch.setattr(house.store.desired_adapters, "all", away)
    follower = DesiredFollower(house.manager, every=0.01)
    follower.start()
    await until(lambda: calls > 2)
    await follower.close()
    assert house.state(REF) is AdapterState.READY
