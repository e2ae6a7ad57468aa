"""Adapter manager over a real engine: checked, loaded, leased, drained and gone, while others answer."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from engine_fixtures import SESSION_ENGINE, collect, request, text
from tiny_model import adapter_files, write_adapter
from trivet.adapters.manager import AdapterManager
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging import AdapterStaging
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import NotFound
from trivet.stores.adapter_wishes import AdapterWishes
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
    wishes = AdapterWishes.open(tmp_path / "adapters.sqlite")
    manager = AdapterManager(AdapterStaging(settings), tiny_engine, {}, wishes)
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
