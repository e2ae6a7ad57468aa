"""Schemas on the real engine: what reaches it compiles soon, and ends well. On the shared engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.support.engine.fixtures import SESSION_ENGINE, collect, idle, request, text
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import InvalidRequest
from trivet.types.generation import FinishReason
from trivet.types.variant import Sampling

pytestmark = SESSION_ENGINE
PROMPT = tuple(range(10, 80))
TREE = {
    "type": "object",
    "properties": {
        "value": {"type": "integer", "minimum": 0, "maximum": 9},
        "kids": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2},
    },
    "required": ["value", "kids"],
}


def depth(node: Any) -> int:
    assert set(node) == {"value", "kids"}
    assert 0 <= node["value"] <= 9
    return 1 + max(map(depth, node["kids"]), default=0)


async def test_trees_are_generated(tiny_engine: EmbeddedVllm) -> None:
    depths = []
    for seed in range(12):
        sampling = Sampling(max_tokens=400, temperature=1.0, seed=seed)
        chunks = await collect(tiny_engine, request(PROMPT, sampling=sampling, json_schema=TREE))
        if chunks[-1].finish is FinishReason.STOP:
            depths.append(depth(json.loads(text(chunks))))
    assert depths
    assert max(depths) > 1


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#"}, "refers to itself without an end"),
        ({"enum": list(range(2_000))}, "max_values"),
        ({"type": "string", "pattern": "^(?=a)"}, "look-ahead"),
    ],
)
async def test_what_the_engine_would_choke_on_is_refused(tiny_engine: EmbeddedVllm, schema: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        await collect(tiny_engine, request(PROMPT, json_schema=schema))
    assert list(refused.value.fields) == ["json_schema"]
    assert await idle(tiny_engine)


async def test_a_slow_schema_does_not_hold_up_others(tiny_engine: EmbeddedVllm) -> None:
    """Minutes of compiling in the engine's one thread otherwise: others' schemas would wait behind it."""
    patterns = [f"^([a-z]{{1,{90 - number}}}[0-9]{{1,90}}){{1,90}}$" for number in range(40)]
    slow = {"anyOf": [{"type": "string", "pattern": pattern} for pattern in patterns]}
    refused = asyncio.create_task(collect(tiny_engine, request(PROMPT, json_schema=slow, schema_owner="hostile")))
    await asyncio.sleep(0)
    quick = request(PROMPT, max_tokens=8, json_schema={"type": "boolean"}, schema_owner="other")
    async with asyncio.timeout(60):
        assert text(await collect(tiny_engine, quick)) in ("true", "false")
        with pytest.raises(InvalidRequest, match="compiling it takes"):
            await refused


async def test_bounded_strings_are_json(tiny_engine: EmbeddedVllm) -> None:
    """xgrammar's own lengths let control characters through."""
    schema = {"type": "string", "minLength": 20, "maxLength": 30}
    for seed in range(8):
        sampling = Sampling(max_tokens=60, temperature=2.0, seed=seed)
        answer = json.loads(text(await collect(tiny_engine, request(PROMPT, sampling=sampling, json_schema=schema))))
        assert 20 <= len(answer) <= 30


async def test_a_schema_is_compiled_once_for_its_trial(tiny_engine: EmbeddedVllm) -> None:
    schema = {"type": "object", "properties": {"only": {"const": "here"}}, "required": ["only"]}
    assert not tiny_engine.schema_known(schema, "")
    for _ in range(2):
        assert text(await collect(tiny_engine, request(PROMPT, json_schema=schema))) == '{"only":"here"}'
        assert tiny_engine.schema_known(schema, "")
    assert tiny_engine.schemas_waiting == 0
