"""Anthropic's messages over HTTP with the real `anthropic` client, on a scripted backend."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.support.gateway.harness import Gateway
from trivet.http.anthropic.response import MessageEvents
from trivet.types.generation import CallDelta, RequestedCall

ASK: list[MessageParam] = [{"role": "user", "content": "How long is the warranty?"}]
TOOL: ToolParam = {"name": "find", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}


def client(served: Gateway, key: str = "secret-a") -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=f"http://{served.http}", api_key=key, max_retries=0)


async def test_a_whole_answer(served: Gateway) -> None:
    async with client(served) as asking:
        raw = await asking.messages.with_raw_response.create(
            model="rag", max_tokens=50, messages=ASK, metadata={"user_id": "unit-1"}, stop_sequences=["###"]
        )
    made = await raw.parse()
    (block,) = made.content
    assert block.type == "text"
    assert block.text == "one two three"
    assert (made.stop_reason, made.model, made.role) == ("end_turn", "rag", "assistant")
    assert made.model_extra is not None
    told = made.model_extra["trivet"]["receipt"]
    assert (told["tenant"], told["unit_source"], told["code"]) == ("a", "UNIT_SOURCE_REQUEST", "OK")
    assert made.usage.output_tokens == 3
    cached = made.usage.cache_read_input_tokens or 0
    assert made.usage.input_tokens + cached == int(told["input_tokens"])
    assert made.model_extra["trivet"]["citations"]
    assert raw.headers["x-trivet-variant"] == "rag"
    (request,) = served.backend.requests
    assert (request.sampling.max_tokens, tuple(request.sampling.stop)) == (50, ("###",))


async def test_a_stream_of_thoughts_text_and_calls(served: Gateway) -> None:
    served.backend.thoughts, served.backend.script = ("Let me ", "see."), ["I look \u00e9\U0001f600", "it up."]
    served.backend.tool_calls = (RequestedCall("find", '{"a": 1}', "c1"), RequestedCall("find", "{}"))
    async with client(served) as asking:
        async with asking.messages.stream(model="open", max_tokens=50, messages=ASK, tools=[TOOL]) as stream:
            streamed = await stream.get_final_message()
        whole = await asking.messages.create(model="open", max_tokens=50, messages=ASK, tools=[TOOL])
    assert streamed.stop_reason == whole.stop_reason == "tool_use"
    for made in (streamed, whole):
        thought, text, first, second = made.content
        assert thought.type == "thinking"
        assert thought.thinking == "Let me see."
        assert text.type == "text"
        assert text.text == "I look \u00e9\U0001f600it up."
        assert first.type == second.type == "tool_use"
        assert (first.id, first.name, first.input, second.input) == ("c1", "find", {"a": 1}, {})
        assert second.id
    assert streamed.usage.output_tokens == whole.usage.output_tokens == 4
    assert streamed.usage.input_tokens > 0


def test_a_call_without_arguments_that_is_closed_stays_closed() -> None:
    """It is told that it has none at the end, when the next call has long begun."""
    events = MessageEvents("r", "m")
    told = events.calls((CallDelta(0, "first"), CallDelta(1, "second", "c2", "{}"), CallDelta(0, arguments="{}")), 0)
    starts = [line for line in told.decode().splitlines() if line.startswith("event: content_block_start")]
    assert len(starts) == 2


async def test_a_conversation_reaches_the_engine(served: Gateway) -> None:
    turns: list[MessageParam] = [
        *ASK,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I look.", "signature": ""},
                {"type": "tool_use", "id": "c1", "name": "find", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "two years"}]},
                {"type": "text", "text": "And then?", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    async with client(served) as asking:
        await asking.messages.create(
            model="open",
            max_tokens=50,
            messages=turns,
            system=[{"type": "text", "text": "Be brief."}],
            tools=[TOOL],
            tool_choice={"type": "tool", "name": "find", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 20},
            extra_body={"temperature": 0.5, "top_k": 3},
        )
        await asking.messages.create(
            model="open", max_tokens=50, messages=ASK, tools=[TOOL], tool_choice={"type": "any"}
        )
    first, second = served.backend.requests
    assert first.required_calls is not None
    assert first.required_calls.name == "find"
    assert first.single_call
    assert (first.sampling.temperature, first.sampling.top_k, first.sampling.max_reasoning_tokens) == (0.5, 3, 20)
    assert second.required_calls is not None
    assert second.required_calls.name == ""
    assert len(first.token_ids) > len(second.token_ids) + 20
    assert served.retriever.queries[0].text == "And then?"


async def test_errors_have_anthropics_form(served: Gateway) -> None:
    async with client(served) as asking:
        with pytest.raises(anthropic.NotFoundError) as missing:
            await asking.messages.create(model="nothing", max_tokens=5, messages=ASK)
        with pytest.raises(anthropic.BadRequestError, match=r"thinking\.budget_tokens") as wrong:
            await asking.messages.create(
                model="open", max_tokens=5, messages=ASK, thinking={"type": "enabled", "budget_tokens": -1}
            )
        with pytest.raises(anthropic.BadRequestError, match="does not allow it"):
            await asking.messages.create(model="plain", max_tokens=5, messages=ASK, tools=[TOOL])
        served.backend.interval, served.backend.script = 0.02, ["word "] * 100
        with pytest.raises(anthropic.APIStatusError, match="the scripted engine is down"):
            async with asking.messages.stream(model="plain", max_tokens=200, messages=ASK) as stream:
                async for _ in stream:
                    served.backend.ready = False
    async with client(served, "wrong") as asking:
        with pytest.raises(anthropic.AuthenticationError):
            await asking.messages.create(model="plain", max_tokens=5, messages=ASK)
    told: Any = missing.value.body
    assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    told = wrong.value.body
    assert (told["error"]["type"], told["error"]["code"]) == ("invalid_request_error", "invalid_request")
    assert told["request_id"] == wrong.value.response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"thinking": {"type": "disabled"}}, "thinking.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"service_tier": "auto"}, "service_tier"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"metadata": {"user_id": "u" * 300}}, "metadata.user_id"),
    ],
)
async def test_what_has_no_counterpart_is_refused_by_its_name(
    web: httpx.AsyncClient, served: Gateway, changes: dict[str, Any], at: str
) -> None:
    body = {"model": "open", "max_tokens": 5, "messages": ASK, **changes}
    answer = await web.post("/v1/messages", json={name: value for name, value in body.items() if value is not None})
    told = answer.json()
    assert (answer.status_code, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert any(field.startswith(at) for field in told["error"]["trivet"]["fields"]), told
    assert not served.backend.requests
    assert [receipt.code for receipt in served.counted] == ["INVALID_ARGUMENT"]
