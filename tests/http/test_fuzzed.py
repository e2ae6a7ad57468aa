"""Requests that a program makes from the door's own description: none ends in a 500, every answer is as described."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.support.clients.fuzzing import fuzz
from tests.support.gateway.harness import Gateway
from trivet.types.generation import RequestedCall

BODY = {"model": "plain", "messages": [{"role": "user", "content": "Tell me."}]}


@pytest.mark.process
async def test_schemathesis_finds_nothing(served: Gateway) -> None:
    code, report = await asyncio.to_thread(fuzz, served.http, "secret-a", served.folder, examples=5, seed=1)
    assert code == 0, report[-6000:]
    codes = {receipt.code for receipt in served.counted}
    assert {"OK", "INVALID_ARGUMENT"} <= codes <= {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
    assert served.backend.in_flight == 0


def described(document: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


async def test_every_event_of_a_stream_is_as_described(web: httpx.AsyncClient) -> None:
    document = (await web.get("/openapi.json")).json()
    stream = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    *events, end, rest = (await web.post("/v1/chat/completions", json=stream)).text.split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    assert len(events) > 4
    chunk = described(document, "ChatCompletionChunk")
    for event in events:
        chunk.validate(json.loads(event.removeprefix("data: ")))
    assert not chunk.is_valid({**json.loads(events[0].removeprefix("data: ")), "choices": None})
    failed = await web.post("/v1/chat/completions", json={**BODY, "temperature": 7})
    described(document, "Error").validate(failed.json())


async def test_every_event_of_a_response_is_as_described(served: Gateway, web: httpx.AsyncClient) -> None:
    document = (await web.get("/openapi.json")).json()
    served.backend.thoughts, served.backend.tool_calls = ("hm",), (RequestedCall("find", "{}"),)
    tool = {"type": "function", "name": "find"}
    asked = {"model": "open", "input": "Tell me.", "tools": [tool]}
    *events, rest = (await web.post("/v1/responses", json={**asked, "stream": True})).text.split("\n\n")
    assert rest == ""
    assert len(events) > 15
    form = described(document, "ResponseEventData")
    for event in events:
        name, data = event.split("\n")
        told = json.loads(data.removeprefix("data: "))
        assert name == f"event: {told['type']}"
        form.validate(told)
    assert not form.is_valid({**told, "response": {**told["response"], "output": None}})
    described(document, "Response").validate((await web.post("/v1/responses", json=asked)).json())
    asking = described(document, "ResponseRequest")
    asking.validate({**asked, "stream": True})
    asking.validate({"model": "open", "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]})
    assert not asking.is_valid({"model": "open", "input": [{"role": "nobody", "content": "a"}]})
