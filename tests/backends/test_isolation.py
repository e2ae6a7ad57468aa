"""Isolation: an answer never comes from other weights than it should, whatever shares the batch."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, idle, request, staged, text
from tests.support.engine.tiny_model import adapter_files
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import AdapterRejected
from trivet.ports import Backend
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import StagedAdapter

pytestmark = SESSION_ENGINE
PROMPTS = [tuple(range(5, 69)) + (number,) * 3 for number in range(100, 116)]


async def test_mixed_batches(engine: Backend, tiny_adapters: dict[str, StagedAdapter]) -> None:
    """64 requests at once over the base and three adapters, in two adapter slots, with a shared prefix cached."""
    variants = (None, *tiny_adapters.values())
    alone = {}
    for number, prompt in enumerate(PROMPTS):
        for adapter in variants:
            by_itself = request(prompt, adapter, cache_salt=f"alone-{number}")
            alone[prompt, adapter] = text(await collect(engine, by_itself))
    for one, other in combinations(variants, 2):
        assert all(alone[prompt, one] != alone[prompt, other] for prompt in PROMPTS)
    cases = list(alone)
    random.Random(3).shuffle(cases)
    answers = await asyncio.gather(*(collect(engine, request(prompt, adapter)) for prompt, adapter in cases))
    wrong = [case for case, answer in zip(cases, answers, strict=True) if text(answer) != alone[case]]
    assert not wrong, f"{len(wrong)} of {len(cases)} answers differ from those given alone"
    assert any(answer[0].cached_tokens for answer in answers)


async def test_hot_swap_under_load(engine: Backend, tmp_path: Path) -> None:
    """Adapters come and go while others answer: every answer stays what it was."""
    expected = text(await collect(engine, request(PROMPTS[0], max_tokens=150, cache_salt="swap")))
    streams = [asyncio.create_task(collect(engine, request(PROMPTS[0], max_tokens=150))) for _ in range(6)]
    for seed in range(20, 26):
        adapter = staged(write_adapter(tmp_path / f"swap{seed}" / "1", adapter_files(seed)))
        await engine.load_adapter(adapter)
        assert text(await collect(engine, request(PROMPTS[1], adapter, max_tokens=3)))
        await engine.unload_adapter(adapter.engine_name)
    assert {text(chunks) for chunks in await asyncio.gather(*streams)} == {expected}


async def test_more_adapters_than_the_engine_keeps(tiny_engine: EmbeddedVllm, tmp_path: Path) -> None:
    """Those that fell out of vLLM's memory come back from our copies, with the right answers."""
    folders = [write_adapter(tmp_path / f"many{seed}" / "1", adapter_files(seed)) for seed in range(40, 50)]
    adapters = [staged(folder) for folder in folders]
    first = []
    for adapter in adapters:
        await tiny_engine.load_adapter(adapter)
        first.append(text(await collect(tiny_engine, request(PROMPTS[0], adapter, cache_salt="many"))))
    again = await asyncio.gather(*(collect(tiny_engine, request(PROMPTS[0], adapter)) for adapter in adapters))
    for adapter in adapters:
        await tiny_engine.unload_adapter(adapter.engine_name)
    assert len(set(first)) == len(adapters)
    assert [text(chunks) for chunks in again] == first


async def test_bad_adapter_leaves_the_engine_serving(
    engine: Backend, tiny_engine: EmbeddedVllm, tmp_path: Path
) -> None:
    """The engine is shown what the preflight would have refused."""
    before = text(await collect(engine, request(PROMPTS[0])))
    files = adapter_files(30)
    misfit = replace(files, config=files.config | {"r": 64})
    adapter = staged(write_adapter(tmp_path / "bad" / "1", misfit))
    for _ in range(2):
        with pytest.raises(AdapterRejected, match=r"the engine refuses bad@1#.*max_lora_rank"):
            await engine.load_adapter(adapter)
    gone = replace(adapter, path=tmp_path / "nothing")
    with pytest.raises(AdapterRejected, match="the engine refuses"):
        await engine.load_adapter(gone)
    good = staged(write_adapter(tmp_path / "good" / "1", adapter_files(31)))
    await engine.load_adapter(good)
    answer = text(await collect(engine, request(PROMPTS[0], good)))
    await engine.unload_adapter(good.engine_name)
    assert answer != before == text(await collect(engine, request(PROMPTS[0])))
    assert await idle(tiny_engine)
