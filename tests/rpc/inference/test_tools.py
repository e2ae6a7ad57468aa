"""Tools, switches and sampling over a real channel: what a route allows reaches the engine, the rest is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Failure, Gateway, failure, gateway
from trivet.api.v1.inference_pb2 import GenerateRequest, Message, Tool, ToolCall
from trivet.rpc.request.calls import generate_call
from trivet.types.request import Caller, KeyRole
from trivet.types.request import Tool as OurTool
from trivet.types.request import ToolCall as OurCall

CALLED = [
    Message(role="user", content="Is one free?"),
    Message(
        role="assistant",
        reasoning="I look.",
        tool_calls=[ToolCall(id="c1", name="find", arguments='{"b": 1, "a": "x"}')],
    ),
    Message(role="tool", content="", tool_call_id="c1", name="find"),
]
TOOL = Tool(name="find", description="Finds.", parameters='{"type": "object", "properties": {"b": {}, "a": {}}}')


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


async def refused(served: Gateway, **fields: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub.Generate(GenerateRequest(**{"route": "open", "messages": CALLED[:1], **fields}))
    assert served.backend.requests == []
    return failure(error.value)


def read(request: GenerateRequest) -> Any:
    caller = Caller("t", KeyRole.CLIENT)
    return generate_call(request, request_id="1", caller=caller, arrived=0.0, deadline=None, priority=5)


def test_tools_and_calls_keep_the_order_of_their_fields() -> None:
    call = read(GenerateRequest(route="open", messages=CALLED, tools=[TOOL]))
    assert call.tools == (OurTool("find", "Finds.", json.loads(TOOL.parameters), len(TOOL.parameters)),)
    assert list(call.tools[0].parameters["properties"]) == ["b", "a"]
    assert call.messages[1].tool_calls == (OurCall("find", {"b": 1, "a": "x"}, "c1", 18),)
    assert (call.messages[1].reasoning, call.messages[2].tool_call_id) == ("I look.", "c1")
    assert call.question == "Is one free?"
    variables: dict[str, Any] = {"enable_thinking": False, "thinking_budget": 5, "reasoning_effort": "low"}
    request = GenerateRequest(route="open", messages=CALLED[:1])
    request.template_variables.update(variables)
    assert read(request).template_variables == variables
    assert isinstance(read(request).template_variables["thinking_budget"], int)


async def test_what_a_route_allows_reaches_the_engine(served: Gateway) -> None:
    asked = GenerateRequest(route="open", messages=CALLED, tools=[TOOL], top_p=0.5, top_k=3, min_p=0.25)
    asked.presence_penalty, asked.frequency_penalty, asked.repetition_penalty = 1, -1, 1.5
    await served.stub.Generate(asked)
    sampling = served.backend.requests[-1].sampling
    assert (sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 3, 0.25)
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.repetition_penalty) == (1, -1, 1.5)
    assert served.retriever.queries[-1].text == "Is one free?"


async def test_what_a_route_does_not_allow_is_refused(served: Gateway) -> None:
    said = await refused(served, route="plain", messages=CALLED, tools=[TOOL], top_p=0.5)
    assert said.code == "INVALID_ARGUMENT"
    assert set(said.fields) == {"tools", "top_p", "messages[1]", "messages[2]"}
    assert "route plain does not allow it" in said.fields["tools"]


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"tools": [Tool(name="f", parameters="[1]")]}, "tools[0].parameters"),
        ({"tools": [Tool(name="f", parameters="{")]}, "tools[0].parameters"),
        ({"tools": [Tool(name="f", parameters='{"x": NaN}')]}, "tools[0].parameters"),
        ({"tools": [Tool(name="f", parameters="[" * 16_000)]}, "tools[0].parameters"),
        ({"tools": [Tool(name="f", parameters='{"x": ' + "9" * 5000 + "}")]}, "tools[0].parameters"),
        ({"tools": [Tool(parameters="{}")]}, "tools[0].name"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [TOOL] * 65}, "tools"),
        ({"template_variables": {"messages": "x"}}, "template_variables.messages"),
        ({"template_variables": {"bos_token": "x"}}, "template_variables.bos_token"),
        ({"template_variables": {"x": "y" * 5000}}, "template_variables"),
        ({"messages": [Message(role="user", content="x"), Message(role="system", content="y")]}, "messages[1].role"),
        ({"messages": [Message(role="system", content="x")]}, "messages"),
        ({"messages": [Message(role="user", content="x"), Message(role="tool", content="y")]}, "messages[1].role"),
        ({"messages": [Message(role="user", content="x", reasoning="y")]}, "messages[0].reasoning"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"presence_penalty": 3.0}, "presence_penalty"),
        ({"frequency_penalty": float("nan")}, "frequency_penalty"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"top_logprobs": 21}, "top_logprobs"),
    ],
)
async def test_each_field_is_checked(served: Gateway, fields: dict[str, Any], at: str) -> None:
    said = await refused(served, **fields)
    assert said.code == "INVALID_ARGUMENT"
    assert at in said.fields
