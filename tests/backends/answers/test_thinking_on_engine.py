"""Schemas and required calls after thoughts, in a real engine whose tokenizer has the marks. The shared one has none.

The model's weights are random, so it never ends a thought by itself: the engine does, after as many tokens as it may.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tokenizers import Tokenizer

from tests.support.engine.fixtures import SESSION_ENGINE, collect, request, text, tiny_settings
from tests.support.engine.tiny_model import make_model
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import InvalidRequest
from trivet.types.request import RequiredCalls
from trivet.types.variant import Sampling

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(10, 60))
SCHEMA = {
    "type": "object",
    "properties": {"urgent": {"type": "boolean"}, "team": {"enum": ["billing", "network"]}},
    "required": ["urgent", "team"],
    "additionalProperties": False,
}
MARKS = ("<think>", "</think>")


def thinking_model(folder: Path) -> Path:
    """The tiny model, two of whose tokens are the marks of thoughts."""
    model = make_model(folder)
    path = model / "tokenizer.json"
    words: dict[str, Any] = json.loads(path.read_text())
    vocabulary, merges = words["model"]["vocab"], words["model"]["merges"]
    last = sorted(vocabulary, key=vocabulary.__getitem__)[-len(MARKS) :]
    words["model"]["merges"] = [pair for pair in merges if "".join(pair) not in last]
    for old, mark in zip(last, MARKS, strict=True):
        place = vocabulary.pop(old)
        vocabulary[mark] = place
        words["added_tokens"].append(
            {"id": place, "content": mark, "special": False, "single_word": False}
            | {"lstrip": False, "rstrip": False, "normalized": False}
        )
    path.write_text(json.dumps(words))
    return model


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def thinking(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedVllm]:
    folder = tmp_path_factory.mktemp("thinking")
    settings = tiny_settings(thinking_model(folder / "model"), folder, max_loras=0, reasoning_parser="deepseek_r1")
    backend = EmbeddedVllm(settings)
    await backend.start()
    yield backend
    await backend.close()


@pytest.fixture(scope="module")
def opened(thinking: EmbeddedVllm) -> tuple[int, ...]:
    """A prompt whose template has begun a thought."""
    tokenizer = Tokenizer.from_file(str(thinking._settings.model / "tokenizer.json"))
    start = tokenizer.token_to_id(MARKS[0])
    assert start is not None
    return (*PROMPT, start)


async def test_a_schema_holds_from_the_end_of_the_thoughts_on(thinking: EmbeddedVllm, opened: tuple[int, ...]) -> None:
    sampling = Sampling(max_tokens=200, max_reasoning_tokens=12)
    chunks = await collect(thinking, request(opened, sampling=sampling, json_schema=SCHEMA))
    assert set(json.loads(text(chunks))) == {"urgent", "team"}
    thought = "".join(chunk.reasoning for chunk in chunks)
    assert thought
    assert not any(mark in thought + text(chunks) for mark in MARKS)
    assert chunks[-1].reasoning_tokens is not None
    assert 10 <= chunks[-1].reasoning_tokens <= 14
    chunks = await collect(thinking, request(PROMPT, max_tokens=200, json_schema=SCHEMA))
    assert set(json.loads(text(chunks))) == {"urgent", "team"}, "where nothing thinks it holds from the first token on"
    assert not any(chunk.reasoning for chunk in chunks)


async def test_calls_after_thoughts(thinking: EmbeddedVllm, opened: tuple[int, ...]) -> None:
    calls = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"const": "route"}, "parameters": SCHEMA},
            "required": ["name", "parameters"],
            "additionalProperties": False,
        },
        "minItems": 1,
        "maxItems": 2,
    }
    wanted = request(
        opened,
        sampling=Sampling(max_tokens=300, max_reasoning_tokens=12),
        json_schema=calls,
        required_calls=RequiredCalls(calls),
    )
    chunks = await collect(thinking, wanted)
    assert text(chunks) == ""
    assert any(chunk.reasoning for chunk in chunks)
    asked = chunks[-1].tool_calls
    assert 1 <= len(asked) <= 2
    for index, call in enumerate(asked):
        assert call.name == "route"
        assert set(json.loads(call.arguments)) == {"urgent", "team"}
        deltas = [delta for chunk in chunks for delta in chunk.call_deltas if delta.index == index]
        assert "".join(delta.arguments for delta in deltas) == call.arguments
        assert len(deltas) > 1, "they come as they are written"


async def test_thoughts_end_after_as_many_tokens_without_a_schema(
    thinking: EmbeddedVllm, tiny_engine: EmbeddedVllm, opened: tuple[int, ...]
) -> None:
    chunks = await collect(thinking, request(opened, sampling=Sampling(max_tokens=40, max_reasoning_tokens=0)))
    assert text(chunks)
    assert (chunks[-1].reasoning_tokens or 0) <= 1
    with pytest.raises(InvalidRequest, match="max_reasoning_tokens: backend tiny cannot end thoughts"):
        await collect(tiny_engine, request(PROMPT, sampling=Sampling(max_reasoning_tokens=5)))
