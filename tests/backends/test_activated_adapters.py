"""Activated LoRA in a real engine: answers are PEFT's, the prefix is the base's, whatever the engine does meanwhile.

The engine has a process of its own that was spawned, so that vLLM must find the plugin by itself. Its steps have few
tokens, so that prompts are computed in chunks, and its cache is small, so that requests are preempted and come back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.engine.activated import activated, gap, in_peft
from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, staged, text, tiny_settings
from tests.support.engine.listening import Ids, heard, heard_engine
from tests.support.engine.tiny_model import adapter_files
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import AdapterRejected, InvalidRequest
from trivet.testing.adapters import write_adapter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import Chunk

pytestmark = SESSION_ENGINE
BLOCK, STEP, REQUESTS = 32, 48, 12
PREFIX = tuple(range(20, 20 + 5 * BLOCK))
INVOCATIONS = {"ask": (7, 9), "tell": (8,)}
TIE = 1e-3  # logits: what two orders of summing make of the tiny model's, which are large
TOKENS = 24


@dataclass(frozen=True)
class World:
    engine: EmbeddedVllm
    model: Path
    adapters: dict[str, StagedAdapter]

    def prompt(self, name: str, number: int) -> tuple[Ids, int | None]:
        """The prefix, the invocation once more in what a user says, and the adapter's own at the end."""
        invocation = self.adapters[name].invocation if name in self.adapters else (7, 9)
        said = (100 + number, *invocation, *range(200, 200 + number), 60)
        tokens = (*PREFIX, *said, *invocation)
        return tokens, len(tokens) - len(invocation) if name in INVOCATIONS else None

    async def ask(self, name: str, number: int, max_tokens: int = TOKENS, **changes: Any) -> tuple[Ids, list[Chunk]]:
        tokens, start = self.prompt(name, number)
        return await heard(
            self.engine, request(tokens, self.adapters.get(name), max_tokens, activated_from=start, **changes)
        )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    root = tmp_path_factory.mktemp("activated")
    adapters = {name: activated(root / name / "1", seed, ids) for seed, (name, ids) in enumerate(INVOCATIONS.items())}
    adapters["plain"] = staged(write_adapter(root / "plain" / "1", adapter_files(9)))
    settings = tiny_settings(
        tiny_model,
        root / "engine",
        name="activated",
        start_method="spawn",
        kv_cache_memory_bytes=5 << 18,  # 40 blocks
        max_num_seqs=REQUESTS,
        engine_args={"max_num_batched_tokens": STEP},
    )
    async with heard_engine(settings, adapters.values()) as engine:
        yield World(engine, tiny_model, adapters)


@pytest.mark.timeout(400)
async def test_answers_are_those_of_peft_in_chunks_and_after_preemptions(world: World) -> None:
    """Base, plain and activated requests at once, more than the cache has room for."""
    cases = [(name, number) for name in ("", *world.adapters) for number in range(REQUESTS)]
    random.Random(4).shuffle(cases)
    answers = await asyncio.gather(*(asyncio.create_task(world.ask(*case, max_tokens=64)) for case in cases))
    assert sum(chunk.times.preemptions for _, chunks in answers for chunk in chunks[-1:] if chunk.times)
    assert any(chunks[0].cached_tokens for _, chunks in answers)
    model = in_peft(world.model, world.adapters)
    worst: dict[tuple[str, int], float] = {}
    for (name, number), (given, _) in zip(cases, answers, strict=True):
        tokens, start = world.prompt(name, number)
        if name:
            model.set_adapter(name)
            worst[name, number] = gap(model, tokens, given, start)
        else:
            with model.disable_adapter():
                worst[name, number] = gap(model, tokens, given, None)
    assert max(worst.values()) < TIE, sorted(worst.items(), key=lambda item: -item[1])[:5]
    # The comparison can tell one adapter from another, and an activated one from one that acts on the whole prompt.
    tokens, start = world.prompt("ask", 3)
    given = next(ids for case, (ids, _) in zip(cases, answers, strict=True) if case == ("ask", 3))
    model.set_adapter("tell")
    assert gap(model, tokens, given, start) > 10 * TIE
    model.set_adapter("ask")
    assert gap(model, tokens, given, 0) > 10 * TIE


async def test_the_prefix_is_computed_once_for_the_base_and_all_of_them(world: World) -> None:
    await collect(world.engine, request(PREFIX, max_tokens=1))
    for name in INVOCATIONS:
        _, chunks = await world.ask(name, 1)
        assert chunks[0].cached_tokens == len(PREFIX)
    _, chunks = await world.ask("plain", 1)
    assert chunks[0].cached_tokens == 0
    _, chunks = await world.ask("", 1)
    assert chunks[0].cached_tokens == len(PREFIX)


async def test_a_next_turn_takes_what_was_an_answer_for_the_bases(world: World) -> None:
    """Tokens after the first invocation were the adapter's; before the last one they are the base's, computed anew."""
    first, start = world.prompt("ask", 2)
    given, _ = await world.ask("ask", 2, 2 * BLOCK)
    second = (*first, *given, 61, 62, 7, 9)
    asked = request(second, world.adapters["ask"], TOKENS, activated_from=len(second) - 2)
    again, chunks = await heard(world.engine, asked)
    assert start is not None
    assert chunks[0].cached_tokens == start // BLOCK * BLOCK
    model = in_peft(world.model, world.adapters)
    model.set_adapter("ask")
    assert gap(model, second, again, len(second) - 2) < TIE


async def test_where_it_begins_within_a_block_tells_blocks_apart(world: World) -> None:
    """The same tokens of the same adapter, which acts from one token or another of one block."""
    tokens = (*range(50, 50 + BLOCK), *range(70, 70 + 2 * BLOCK), 5)
    model = in_peft(world.model, world.adapters)
    model.set_adapter("ask")
    counts: list[int | None] = []
    for start in (BLOCK + 4, BLOCK + 20, BLOCK + 4):
        asked = request(tokens, world.adapters["ask"], TOKENS, activated_from=start)
        given, chunks = await heard(world.engine, asked)
        assert gap(model, tokens, given, start) < TIE
        counts.append(chunks[0].cached_tokens)
    assert counts == [0, BLOCK, 3 * BLOCK]


async def test_a_schema_holds_from_the_first_token_on(world: World) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    for owner in ("", "tenant"):
        _, chunks = await world.ask("tell", 3, json_schema=schema, schema_owner=owner)
        assert text(chunks) in ('{"a":true}', '{"a":false}', '{"a": true}', '{"a": false}')
        assert chunks[0].cached_tokens == len(PREFIX)


async def test_a_request_has_to_say_where_it_is_invoked(world: World) -> None:
    tokens, start = world.prompt("ask", 1)
    for wrong in (
        request(tokens, world.adapters["ask"]),
        request(tokens, world.adapters["plain"], activated_from=start),
    ):
        with pytest.raises(InvalidRequest, match=r"where adapter .* is invoked"):
            await collect(world.engine, wrong)


async def test_without_the_plugin_it_is_refused(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = world.engine._life.engine
    assert engine is not None
    assert engine.activates
    monkeypatch.setattr(engine, "activates", False)
    with pytest.raises(AdapterRejected, match=r"does not serve activated LoRA.*trivet_alora"):
        await world.engine.load_adapter(activated(tmp_path / "off" / "1", 5, (7,)))
    assert not world.engine._loras.activated(replace(world.adapters["ask"], digest="0" * 64).engine_name)


async def test_more_of_them_than_the_engine_keeps_come_and_go_beside_others(
    tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter], tmp_path: Path
) -> None:
    """On the shared engine, into whose memory eight adapters fit."""
    said = (*range(5, 5 + 2 * BLOCK), 100, 101, 102)
    prompt, start = (*said, 7, 9), len(said)
    adapters = [activated(tmp_path / f"act{seed}" / "1", seed, (7, 9)) for seed in range(60, 70)]
    alone: dict[str, str] = {}
    for adapter in adapters:
        await tiny_engine.load_adapter(adapter)
        asked = request(prompt, adapter, activated_from=start, cache_salt="alone")
        alone[adapter.engine_name] = text(await collect(tiny_engine, asked))
    assert len(set(alone.values())) == len(adapters)
    others = {adapter: request(prompt, adapter, 60) for adapter in (None, *tiny_adapters.values())}
    before = {adapter: text(await collect(tiny_engine, asked)) for adapter, asked in others.items()}

    async def comes_and_goes(seed: int) -> None:
        passing = activated(tmp_path / f"passing{seed}" / "1", seed, (7, 9))
        await tiny_engine.load_adapter(passing)
        await collect(tiny_engine, request(prompt, passing, 3, activated_from=start))
        await tiny_engine.unload_adapter(passing.engine_name)

    streams = [asyncio.create_task(collect(tiny_engine, asked)) for asked in others.values()]
    swaps = [asyncio.create_task(comes_and_goes(seed)) for seed in range(70, 74)]
    again = await asyncio.gather(
        *(collect(tiny_engine, request(prompt, adapter, activated_from=start)) for adapter in adapters)
    )
    await asyncio.gather(*swaps)
    for adapter in adapters:
        await tiny_engine.unload_adapter(adapter.engine_name)
    assert [text(chunks) for chunks in again] == list(alone.values())
    assert {chunks[0].cached_tokens for chunks in again} == {2 * BLOCK}  # the base's
    assert [text(chunks) for chunks in await asyncio.gather(*streams)] == list(before.values())
