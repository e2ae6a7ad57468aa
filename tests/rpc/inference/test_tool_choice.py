"""Calls that a request requires, and calls as they are written: over a real channel, on a scripted engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import jsonschema  # type: ignore[import-untyped]
import pytest

from tests.support.gateway.harness import Failure, Gateway, failure, gateway
from trivet.api.v1 import inference_pb2
from trivet.api.v1.inference_pb2 import GenerateRequest, Message, Tool
from trivet.types.generation import RequestedCall
from trivet.types.request import RequiredCalls

ASK = [Message(role="user", content="Is one free?")]
DAY = {"enum": ["Saturday", "Sunday"]}
FIND = Tool(
    name="find",
    parameters=json.dumps(
        {
            "type": "object",
            "properties": {"day": {"$ref": "#/$defs/Day"}, "again": {"$ref": "#"}},
            "required": ["day"],
            "additionalProperties": False,
            "$defs": {"Day": DAY},
        }
    ),
)
STOP = Tool(name="stop")
REQUIRED = inference_pb2.TOOL_CHOICE_REQUIRED


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        running.backend.tool_calls = (RequestedCall("find", '{"day": "Sunday"}'),)
        yield running


async def refused(served: Gateway, **fields: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.stub.Generate(GenerateRequest(**{"route": "open", "messages": ASK, **fields}))
    assert served.backend.requests == []
    return failure(error.value)


async def required(served: Gateway, **fields: Any) -> RequiredCalls:
    """What the engine is told of a request that requires calls."""
    asked = {"route": "open", "messages": ASK, "tools": [FIND, STOP], "tool_choice": REQUIRED, **fields}
    await served.stub.Generate(GenerateRequest(**asked))
    (wanted,) = served.backend.requests
    served.backend.requests.clear()
    assert wanted.required_calls is not None
    assert wanted.json_schema == wanted.required_calls.schema
    assert wanted.schema_owner == "public"
    return wanted.required_calls


def fits(value: Any, schema: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


async def test_any_of_the_tools(served: Gateway) -> None:
    found = await required(served)
    assert found.name == ""
    good = {"name": "find", "parameters": {"day": "Sunday", "again": {"day": "Saturday"}}}
    stop = {"name": "stop", "parameters": {}}
    assert fits([good, stop], found.schema)
    for wrong in (
        [],
        [{"name": "find", "parameters": {"day": "Monday"}}],
        [{"name": "find", "parameters": {"day": "Sunday", "again": {}}}],
        [{"name": "other", "parameters": {}}],
        [{"name": "stop", "parameters": {"day": "Sunday"}}],
        [good] * 17,
    ):
        assert not fits(wrong, found.schema), wrong
    assert not fits([good, stop], (await required(served, single_tool_call=True)).schema)


async def test_one_function(served: Gateway) -> None:
    found = await required(served, tool_name="find")
    assert found.name == "find"
    assert fits({"day": "Sunday"}, found.schema)
    assert not fits({"day": "Monday"}, found.schema)
    assert (await required(served, tool_name="stop")).schema["properties"] == {}


async def test_a_variants_own_form_gives_way_to_calls_and_none_means_none(served: Gateway) -> None:
    form: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = GenerateRequest(route="open", messages=ASK, tools=[STOP], tool_choice=REQUIRED)
    request.json_schema.update(form)
    answer = await served.stub.Generate(request)
    assert answer.receipt.format_valid
    assert served.backend.requests[-1].json_schema != form
    none = inference_pb2.TOOL_CHOICE_NONE
    await served.stub.Generate(GenerateRequest(route="open", messages=ASK, tools=[FIND], tool_choice=none))
    await served.stub.Generate(GenerateRequest(route="open", messages=ASK))
    silent, plain = served.backend.requests[1:]
    assert (silent.tools, silent.token_ids, silent.required_calls) == ((), plain.token_ids, None)


async def test_calls_come_in_pieces_before_the_end(served: Gateway) -> None:
    served.backend.tool_calls += (RequestedCall("stop", "{}", "c2"),)
    request = GenerateRequest(route="open", messages=ASK, tools=[FIND, STOP], max_reasoning_tokens=7)
    events = [event async for event in served.stub.GenerateStream(request)]
    deltas = [delta for event in events[:-1] for delta in event.delta.tool_calls]
    heads = {delta.index: (delta.name, delta.id) for delta in deltas if delta.name}
    assert heads == {0: ("find", ""), 1: ("stop", "c2")}
    for index, call in enumerate(events[-1].final.tool_calls):
        pieces = [delta.arguments for delta in deltas if delta.index == index]
        assert len(pieces) == 2
        assert "".join(pieces) == call.arguments
    assert served.backend.requests[-1].sampling.max_reasoning_tokens == 7


async def test_calls_that_are_cut_short_are_no_valid_form(served: Gateway) -> None:
    request = GenerateRequest(route="open", messages=ASK, tools=[FIND], tool_choice=REQUIRED)
    assert (await served.stub.Generate(request)).receipt.format_valid
    for calls in ((), (RequestedCall("find", '{"day": "Su'),)):
        served.backend.tool_calls = calls
        answer = await served.stub.Generate(request)
        assert answer.receipt.HasField("format_valid")
        assert not answer.receipt.format_valid


def schema(text: str) -> list[Tool]:
    return [STOP, Tool(name="f", parameters=text)]


@pytest.mark.parametrize(
    ("fields", "at", "told"),
    [
        ({"tool_choice": REQUIRED}, "tool_choice", "at least one tool"),
        ({"tool_choice": 7, "tools": [FIND]}, "tool_choice", "unknown"),
        ({"tool_name": "find", "tools": [FIND]}, "tool_name", "only with"),
        ({"tool_choice": REQUIRED, "tool_name": "x", "tools": [FIND]}, "tool_name", "none of the tools"),
        ({"tool_choice": REQUIRED, "tools": schema('{"type": "array"}')}, "tools[1].parameters", "type object"),
        (
            {"tool_choice": REQUIRED, "tools": schema('{"type": "object", "not": {}}')},
            "tools[1].parameters",
            "not enforced",
        ),
        (
            {"tool_choice": REQUIRED, "tools": schema('{"type": "object", "properties": {"a": {"$ref": "#/x"}}}')},
            "tools[1].parameters",
            "leads to no schema",
        ),
        ({"max_reasoning_tokens": -1}, "max_reasoning_tokens", "0 to 1,000,000"),
        ({"tool_name": "x" * 129}, "tool_name", "128"),
    ],
)
async def test_what_cannot_be_required(served: Gateway, fields: dict[str, Any], at: str, told: str) -> None:
    said = await refused(served, **fields)
    assert said.code == "INVALID_ARGUMENT"
    assert told in said.fields[at], said.fields


async def test_a_schema_that_cannot_be_enforced_is_no_matter_where_the_model_decides(served: Gateway) -> None:
    tools = schema('{"type": "object", "not": {}}')
    await served.stub.Generate(GenerateRequest(route="open", messages=ASK, tools=tools))
    named = GenerateRequest(route="open", messages=ASK, tools=tools, tool_choice=REQUIRED, tool_name="stop")
    await served.stub.Generate(named)
    assert len(served.backend.requests) == 2
