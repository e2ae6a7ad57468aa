"""The embedded backend answers: streaming, cancelling, schemas, salts, limits. On the shared engine."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from statistics import median

import pytest
from prometheus_client import REGISTRY, generate_latest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, idle, request, text
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import InvalidRequest, NotFound, PromptTooLong
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import FinishReason
from trivet.types.variant import Sampling

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(10, 80))
SCHEMA = {
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}, "team": {"enum": ["billing", "network"]}},
    "required": ["urgent", "team"],
    "additionalProperties": False,
}


async def test_chunks(tiny_engine: EmbeddedVllm) -> None:
    chunks = await collect(tiny_engine, request(PROMPT, max_tokens=60, cache_salt="chunks"))
    first, *rest, last = chunks
    # A reader that comes late, on a busy machine, finds several tokens at once, in the first chunk too.
    assert first.tokens >= 1
    assert (first.input_tokens, first.cached_tokens) == (len(PROMPT), 0)
    assert last.finish is FinishReason.LENGTH
    assert sum(chunk.tokens for chunk in chunks) == 60
    assert all(chunk.finish is None and chunk.input_tokens is None for chunk in rest)
    # Nobody else reads: more than one at once must be the exception.
    assert median(chunk.tokens for chunk in rest) <= 2
    assert [chunk.engine_at for chunk in chunks] == sorted(chunk.engine_at for chunk in chunks)


async def test_text_equals_the_whole_answer(tiny_engine: EmbeddedVllm) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    assert tiny_engine._life.engine is not None
    whole = SamplingParams(max_tokens=60, temperature=0, output_kind=RequestOutputKind.FINAL_ONLY)
    prompt = {"type": "token", "prompt_token_ids": list(PROMPT)}
    outputs = [output async for output in tiny_engine._life.engine._llm.generate(prompt, whole, "whole")]
    assert text(await collect(tiny_engine, request(PROMPT, max_tokens=60))) == outputs[-1].outputs[0].text


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"min_p": 1.0}, {"top_p": 1e-9}])
async def test_what_narrows_the_choice_to_one_token_is_greedy(
    tiny_engine: EmbeddedVllm, narrow: dict[str, float]
) -> None:
    greedy = text(await collect(tiny_engine, request(PROMPT)))
    drawn = Sampling(max_tokens=24, temperature=2.0, seed=1, **narrow)  # type: ignore[arg-type]
    assert text(await collect(tiny_engine, request(PROMPT, sampling=drawn))) == greedy
    wide = Sampling(max_tokens=24, temperature=2.0, seed=1)
    assert text(await collect(tiny_engine, request(PROMPT, sampling=wide))) != greedy


async def test_log_probabilities_are_the_engines_own(tiny_engine: EmbeddedVllm) -> None:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    assert tiny_engine._life.engine is not None
    whole = SamplingParams(max_tokens=24, temperature=0, logprobs=3, output_kind=RequestOutputKind.FINAL_ONLY)
    prompt = {"type": "token", "prompt_token_ids": list(PROMPT)}
    outputs = [output async for output in tiny_engine._life.engine._llm.generate(prompt, whole, "logprobs")]
    expected = outputs[-1].outputs[0]
    sampling = Sampling(max_tokens=24, top_logprobs=3)
    chunks = await collect(tiny_engine, request(PROMPT, sampling=sampling))
    assert all(len(chunk.logprobs) == chunk.tokens for chunk in chunks)
    found = [token for chunk in chunks for token in chunk.logprobs]
    for token, ours, theirs in zip(expected.token_ids, found, expected.logprobs, strict=True):
        assert ours.written.logprob == pytest.approx(theirs[token].logprob, abs=1e-4)
        assert ours.top[0] == ours.written, "greedy"
        assert len(ours.top) == 3
        assert [one.logprob for one in ours.top] == sorted((one.logprob for one in ours.top), reverse=True)
    drawn = Sampling(max_tokens=24, temperature=2.0, seed=3, top_logprobs=1)
    tokens = [
        token for chunk in await collect(tiny_engine, request(PROMPT, sampling=drawn)) for token in chunk.logprobs
    ]
    assert any(token.top[0] != token.written for token in tokens), "what was drawn need not be the likeliest"
    assert all(len(token.top) == 1 and token.top[0].logprob >= token.written.logprob for token in tokens)


@pytest.mark.parametrize("penalty", [{"repetition_penalty": 2.0}, {"presence_penalty": 2.0, "frequency_penalty": 2.0}])
async def test_penalties_change_the_answer(tiny_engine: EmbeddedVllm, penalty: dict[str, float]) -> None:
    sampling = Sampling(max_tokens=48, **penalty)  # type: ignore[arg-type]
    greedy = text(await collect(tiny_engine, request(PROMPT, max_tokens=48)))
    assert text(await collect(tiny_engine, request(PROMPT, sampling=sampling))) != greedy


@pytest.mark.parametrize(("temperature", "seed"), [(1e-300, 0), (2.0, 2**63 - 1), (5e-324, 2**32)])
async def test_the_extremes_that_a_request_may_name_are_served(
    tiny_engine: EmbeddedVllm, temperature: float, seed: int
) -> None:
    sampling = Sampling(max_tokens=4, temperature=temperature, seed=seed)
    chunks = await collect(tiny_engine, request(PROMPT, sampling=sampling))
    assert sum(chunk.tokens for chunk in chunks) == 4


async def test_seed(tiny_engine: EmbeddedVllm) -> None:
    async def draw(seed: int) -> str:
        sampling = Sampling(max_tokens=20, temperature=2.0, seed=seed)
        return text(await collect(tiny_engine, request(PROMPT, sampling=sampling)))

    assert await draw(1) == await draw(1) != await draw(2)


async def test_stop_string(tiny_engine: EmbeddedVllm) -> None:
    whole = text(await collect(tiny_engine, request(PROMPT, max_tokens=40)))
    stop = whole[12:14]
    chunks = await collect(tiny_engine, request(PROMPT, sampling=Sampling(max_tokens=40, stop=(stop,))))
    assert text(chunks) == whole[: whole.index(stop)]
    assert chunks[-1].finish is FinishReason.STOP
    assert await idle(tiny_engine)


@pytest.mark.parametrize("adapter", [None, "red"])
async def test_schema(tiny_engine: EmbeddedVllm, tiny_adapters: dict[str, StagedAdapter], adapter: str | None) -> None:
    wanted = request(PROMPT, tiny_adapters[adapter] if adapter else None, max_tokens=80, json_schema=SCHEMA)
    answer = text(await collect(tiny_engine, wanted))
    value = json.loads(answer)
    assert set(value) == {"urgent", "team"}
    assert type(value["urgent"]) is bool
    assert value["team"] in ("billing", "network")
    assert "\n" not in answer
    assert ": " not in answer


async def test_schema_that_cannot_be_served(tiny_engine: EmbeddedVllm) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await collect(tiny_engine, request(PROMPT, json_schema={"type": "no such type"}))
    assert "json_schema" in refused.value.fields
    assert await idle(tiny_engine)


async def test_salt(tiny_engine: EmbeddedVllm) -> None:
    async def cached(salt: str | None) -> int | None:
        return (await collect(tiny_engine, request(PROMPT, max_tokens=2, cache_salt=salt)))[0].cached_tokens

    assert [await cached(salt) for salt in ("one", "one", "two", "two", "one")] == [0, 64, 0, 64, 64]


@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_leaving_aborts(tiny_engine: EmbeddedVllm, way: str) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async with aclosing(tiny_engine.generate(request(PROMPT, max_tokens=900))) as chunks:
            async for _ in chunks:
                started.set()
                if way == "close":
                    return

    reader = asyncio.create_task(read())
    await started.wait()
    if way == "cancel":
        assert (await tiny_engine.stats()).busy
        reader.cancel()
    await asyncio.wait({reader})
    assert reader.cancelled() is (way == "cancel")
    assert (await tiny_engine.stats()).unfinished == 0
    assert await idle(tiny_engine, 0.5)


async def test_leaving_before_the_first_token_aborts(tiny_engine: EmbeddedVllm) -> None:
    readers = [asyncio.create_task(collect(tiny_engine, request(PROMPT, max_tokens=900))) for _ in range(20)]
    for turns, reader in enumerate(readers):
        for _ in range(turns % 7):
            await asyncio.sleep(0)
        reader.cancel()
    await asyncio.wait(readers)
    assert await idle(tiny_engine, 0.5)


async def test_stalled_reader_is_merged(tiny_engine: EmbeddedVllm) -> None:
    async with aclosing(tiny_engine.generate(request(PROMPT, max_tokens=200))) as chunks:
        first = await anext(chunks)
        for _ in range(500):
            if not (await tiny_engine.stats()).busy:
                break
            await asyncio.sleep(0.02)
        rest = [chunk async for chunk in chunks]
    assert len(rest) == 1
    assert first.tokens + rest[0].tokens == 200
    assert text([first, *rest]) == text(await collect(tiny_engine, request(PROMPT, max_tokens=200)))


async def test_adapter_that_is_not_resident(tiny_engine: EmbeddedVllm) -> None:
    before = _prompts_seen(tiny_engine)
    with pytest.raises(NotFound, match="adapter ghost@1#000000000000 is not resident"):
        await collect(tiny_engine, replace(request(PROMPT), adapter="ghost@1#000000000000"))
    assert _prompts_seen(tiny_engine) == before


async def test_prompt_limits(tiny_engine: EmbeddedVllm) -> None:
    with pytest.raises(PromptTooLong, match="the prompt has 1024 tokens, and the context 1024"):
        await collect(tiny_engine, request([7] * 1024))
    with pytest.raises(InvalidRequest, match="the prompt is empty"):
        await collect(tiny_engine, request([]))
    with pytest.raises(InvalidRequest):
        await collect(tiny_engine, request([999_999]))
    chunks = await collect(tiny_engine, request([7] * 1020, max_tokens=50))
    assert sum(chunk.tokens for chunk in chunks) == 4
    assert chunks[-1].finish is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        (Sampling(stop=("",)), "stop"),
        (Sampling(temperature=-1.0), "temperature"),
        (Sampling(temperature=float("nan")), "temperature"),
        (Sampling(max_tokens=0), "max_tokens"),
    ],
)
async def test_what_vllm_refuses_is_told_under_its_field(
    tiny_engine: EmbeddedVllm, sampling: Sampling, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await collect(tiny_engine, request(PROMPT, sampling=sampling))
    assert list(refused.value.fields) == [field]
    assert await idle(tiny_engine)


async def test_engine_metrics_are_in_a_registry_of_its_own(tiny_engine: EmbeddedVllm) -> None:
    before = _prompts_seen(tiny_engine)
    await collect(tiny_engine, request(PROMPT, max_tokens=2))
    assert _prompts_seen(tiny_engine) == before + len(PROMPT)
    first_tokens = b'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="tiny"}'
    assert first_tokens in generate_latest(tiny_engine.metrics.registry)
    assert b"vllm:" not in generate_latest(REGISTRY)
    assert (tiny_engine.block_size, tiny_engine.context_tokens) == (32, 1024)


async def test_the_engines_metrics_count_each_token_each_gap_and_each_step(tiny_engine: EmbeddedVllm) -> None:
    names = ("generation_tokens_total", "inter_token_latency_seconds_count", "iteration_tokens_total_sum",
             "time_to_first_token_seconds_count", "request_success_total", "iteration_tokens_total_count")  # fmt: skip
    before = [_metric(tiny_engine, name) for name in names]
    asked = [request(PROMPT, max_tokens=20, cache_salt=f"metrics {number}") for number in range(4)]
    await asyncio.gather(*(collect(tiny_engine, one) for one in asked))
    *told, steps = (_metric(tiny_engine, name) - was for name, was in zip(names, before, strict=True))
    assert told == [80, 76, 80 + 4 * len(PROMPT), 4, 4]
    assert 20 <= steps <= 80


def _metric(backend: EmbeddedVllm, name: str) -> float:
    """The sum over its labels."""
    found = [sample.value for one in backend.metrics.registry.collect() for sample in one.samples
             if sample.name == f"vllm:{name}"]  # fmt: skip
    return sum(found)


def _prompts_seen(backend: EmbeddedVllm) -> float:
    labels = {"engine": "0", "model_name": "tiny"}
    return backend.metrics.registry.get_sample_value("vllm:prompt_tokens_total", labels) or 0.0
