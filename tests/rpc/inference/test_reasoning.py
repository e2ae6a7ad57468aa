"""What a model thinks and asks for comes apart from what it says, as it comes, and is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway.harness import Gateway, gateway, request
from trivet.api.v1.inference_pb2 import ToolCall
from trivet.types.generation import RequestedCall


@pytest.fixture
async def thinking(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        running.backend.thoughts = ("A guest ", "asks.")
        running.backend.script = ["Nine ", "o'clock."]
        running.backend.tool_calls = (RequestedCall("find", '{"b": 1, "a": 2}', "c1"),)
        yield running


async def test_thoughts_and_calls_in_a_response(thinking: Gateway) -> None:
    said = await thinking.stub.Generate(request())
    assert (said.reasoning, said.text) == ("A guest asks.", "Nine o'clock.")
    assert list(said.tool_calls) == [ToolCall(id="c1", name="find", arguments='{"b": 1, "a": 2}')]
    assert (said.receipt.output_tokens, said.receipt.reasoning_tokens) == (4, 2)


async def test_thoughts_are_streamed_apart(thinking: Gateway) -> None:
    events = [event async for event in thinking.stub.GenerateStream(request())]
    deltas = [(event.delta.reasoning, event.delta.text) for event in events[:-1]]
    assert deltas[:4] == [("A guest ", ""), ("asks.", ""), ("", "Nine "), ("", "o'clock.")]
    assert events[-1].final.reasoning == "A guest asks."


async def test_without_a_parser_nothing_is_known_of_thoughts(thinking: Gateway) -> None:
    thinking.backend.thoughts = ()
    said = await thinking.stub.Generate(request())
    assert said.reasoning == ""
    assert not said.receipt.HasField("reasoning_tokens")
