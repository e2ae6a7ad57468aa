"""Adapter manager over a real engine: checked, loaded, leased, drained and gone, while others answer."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text
from tests.support.engine.tiny_model import adapter_files
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import BackendUnavailable, NotFound
from trivet.stores.state import StateStore
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import AdapterState, AdapterTier, StagedAdapter
from trivet.types.generation import BackendRequest
from trivet.types.variant import Sampling, VersionRef

pytestmark = SESSION_ENGINE
REF = VersionRef("tone", "1")
PROMPT = tuple(range(5, 75))


def greedy(engine_name: str, max_tokens: int = 24) -> BackendRequest:
    return BackendRequest("test", PROMPT, Sampling(max_tokens=max_tokens), adapter=engine_name)


async def test_life_of_an_adapter(tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "root" / "tone" / "1", adapter_files(60))
    settings = AdapterSettings((tmp_path / "root",), tmp_path / "staged", tiny_model, max_rank=8)
    desired = StateStore.open(tmp_path / "state.sqlite").desired_adapters
    manager = AdapterManager(AdapterStaging(settings), tiny_engine, AdapterDemand(), desired)
    first = await manager.load(REF)
    async with manager.acquire(REF) as lease:
        assert lease is not None
        before = text(await collect(tiny_engine, greedy(lease.engine_name)))
        async with aclosing(tiny_engine.generate(greedy(lease.engine_name, 300))) as stream:
            tokens = (await anext(stream)).tokens
            unload = asyncio.create_task(manager.unload(REF))
            tokens += sum([chunk.tokens async for chunk in stream])
        assert tokens == 300
        assert not unload.done()
    await unload
    with pytest.raises(NotFound):
        await collect(tiny_engine, greedy(first.engine_name))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    write_adapter(folder, adapter_files(61))
    second = await manager.load(REF)
    after = text(await collect(tiny_engine, greedy(second.engine_name)))
    base = text(await collect(tiny_engine, request(PROMPT)))
    await manager.unload(REF)
    await manager.close()
    assert first.engine_name != second.engine_name
    assert len({before, after, base}) == 3


def manager_of(engine: EmbeddedVllm, model: Path, folder: Path) -> AdapterManager:
    """Two places in host memory; sources in `root`."""
    settings = AdapterSettings((folder / "root",), folder / "staged", model, max_rank=8)
    desired = StateStore.open(folder / "state.sqlite").desired_adapters
    return AdapterManager(AdapterStaging(settings), engine, AdapterDemand(), desired, LifecycleSettings(host_places=2))


async def answer(manager: AdapterManager, engine: EmbeddedVllm, ref: VersionRef) -> str:
    async with manager.acquire(ref) as lease:
        assert lease is not None
        return text(await collect(engine, greedy(lease.engine_name)))


async def test_more_adapters_than_places(tiny_engine: EmbeddedVllm, tiny_model: Path, tmp_path: Path) -> None:
    """Who gave way is out of the engine, comes back for a request, and answers as it did; also all of them at once."""
    refs = [VersionRef(f"many{number}", "1") for number in range(4)]
    for number, ref in enumerate(refs):
        write_adapter(tmp_path / "root" / ref.name / ref.version, adapter_files(70 + number))
    manager = manager_of(tiny_engine, tiny_model, tmp_path)
    alone = {}
    for ref in refs:
        await manager.load(ref)
        alone[ref] = await answer(manager, tiny_engine, ref)
    assert len(set(alone.values())) == 4
    cold = [status for status in manager.statuses() if status.tier is AdapterTier.DISK]
    assert [status.ref for status in cold] == refs[:2]
    for status in cold:
        with pytest.raises(NotFound):
            await collect(tiny_engine, greedy(status.engine_name))
    asked = refs * 3
    answers = await asyncio.gather(*[answer(manager, tiny_engine, ref) for ref in asked])
    assert answers == [alone[ref] for ref in asked]
    for ref in refs:
        await manager.unload(ref)
    assert list((tmp_path / "staged").iterdir()) == []
    await manager.close()


async def test_a_killed_engine_and_a_restarted_gateway(
    tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter], tiny_model: Path, tmp_path: Path
) -> None:
    """The same bytes come back, although the source has others by now."""
    folder = write_adapter(tmp_path / "root" / "tone" / "1", adapter_files(60))
    manager = manager_of(tiny_engine, tiny_model, tmp_path)
    await manager.load(REF)
    before = await answer(manager, tiny_engine, REF)
    shutil.rmtree(folder)
    write_adapter(folder, adapter_files(61))
    async with manager.acquire(REF) as lease:
        assert lease is not None
        stream = asyncio.create_task(collect(tiny_engine, greedy(lease.engine_name, 900)))
        await asyncio.sleep(0.1)
        os.kill(tiny_engine.process_ids[0], signal.SIGKILL)
        with pytest.raises(BackendUnavailable):
            await stream
    with pytest.raises(BackendUnavailable, match="the engine is not ready"):
        await answer(manager, tiny_engine, REF)
    await tiny_engine.start()
    for adapter in tiny_adapters.values():
        await tiny_engine.load_adapter(adapter)
    await manager.reconcile()
    await until_ready(manager)
    assert await answer(manager, tiny_engine, REF) == before
    await manager.close()
    manager = manager_of(tiny_engine, tiny_model, tmp_path)
    await manager.reconcile()
    await until_ready(manager)
    assert await answer(manager, tiny_engine, REF) == before
    await manager.unload(REF)
    await manager.close()


async def until_ready(manager: AdapterManager) -> None:
    async with asyncio.timeout(60):
        while manager.statuses()[0].state is not AdapterState.READY:
            await asyncio.sleep(0.02)
