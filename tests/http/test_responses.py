"""OpenAI's Responses API over HTTP with the real `openai` client, on a scripted backend."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import FunctionToolParam, Response, ResponseInputParam
from pydantic import BaseModel

from tests.support.gateway.harness import Gateway
from trivet.http.responses.conversation import Conversation
from trivet.http.responses.request import ResponseRequest
from trivet.http.responses.response import ResponseEvents
from trivet.types.generation import CallDelta, RequestedCall

ASK = "How long is the warranty?"
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "find",
    "description": "Finds.",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}
TEXT = ["response.output_item.added", "response.content_part.added", "response.output_text.delta"]
CLOSED = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


def client(served: Gateway, key: str = "secret-a") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://{served.http}/v1", api_key=key, max_retries=0)


def extension(made: Response) -> dict[str, Any]:
    assert made.model_extra is not None
    found: dict[str, Any] = made.model_extra["trivet"]
    return found


async def streamed(served: Gateway, **fields: Any) -> list[Any]:
    async with client(served) as asking:
        return [event async for event in await asking.responses.create(stream=True, **fields)]


async def test_a_whole_answer(served: Gateway) -> None:
    async with client(served) as asking:
        raw = await asking.responses.with_raw_response.create(
            model="rag", input=ASK, user="unit-1", max_output_tokens=50, temperature=0.5, metadata={"team": "x"}
        )
    made = raw.parse()
    assert made.output_text == "one two three"
    assert (made.status, made.object, made.model, made.error) == ("completed", "response", "rag", None)
    assert made.incomplete_details is None
    told = extension(made)["receipt"]
    assert made.id == f"resp_{told['request_id']}"
    assert (told["tenant"], told["unit_source"], told["code"]) == ("a", "UNIT_SOURCE_REQUEST", "OK")
    assert raw.headers["x-trivet-variant"] == "rag"
    assert made.usage is not None
    assert made.usage.output_tokens == 3
    assert made.usage.total_tokens == made.usage.input_tokens + 3 == int(told["input_tokens"]) + 3
    assert made.usage.input_tokens_details.cached_tokens == int(told.get("cached_tokens", 0))
    assert [one["passage_id"] for one in extension(made)["citations"]] == told["passage_ids"] != []
    (request,) = served.backend.requests
    assert (request.sampling.max_tokens, request.sampling.temperature) == (50, 0.5)
    receipt = served.receipts.find("a", told["request_id"])
    assert receipt is not None
    assert dict(receipt.labels) == {"team": "x"}


async def test_a_stream_has_the_documented_order(served: Gateway) -> None:
    served.backend.script = ["one ", "\u00e9", "\U0001f600", " \u6f22\u5b57", '"\\\n']
    events = await streamed(served, model="plain", input=ASK)
    kinds = [event.type for event in events]
    begun = ["response.created", "response.in_progress"]
    assert kinds == [*begun, *TEXT, *TEXT[-1:] * 4, *CLOSED, "response.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == TEXT[-1])
    last = events[-1].response
    assert text == last.output_text == events[-4].text == events[-3].part.text == "".join(served.backend.script)
    assert events[0].response.status == "in_progress"
    assert events[0].response.id == last.id
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {last.output[0].id}
    assert (last.status, last.usage.output_tokens) == ("completed", 5)
    assert extension(last)["receipt"]["code"] == "OK"


async def test_thoughts_and_calls_are_items_of_their_own(served: Gateway) -> None:
    served.backend.thoughts, served.backend.script = ("Let me ", "see."), ["I look ", "it up."]
    served.backend.tool_calls = (RequestedCall("find", '{"a": 1}'), RequestedCall("find", "{}", "c2"))
    async with client(served) as asking:
        made = await asking.responses.create(model="open", input=ASK, tools=[TOOL])
        async with asking.responses.stream(model="open", input=ASK, tools=[TOOL]) as stream:
            events = [event async for event in stream]
            found = await stream.get_final_response()
    for whole in (made, found):
        thought, message, first, second = whole.output
        assert thought.type == "reasoning"
        assert thought.content is not None
        assert [part.text for part in thought.content] == ["Let me see."]
        assert message.type == "message"
        assert whole.output_text == "I look it up."
        assert first.type == second.type == "function_call"
        assert (first.name, first.arguments, second.arguments, second.call_id) == ("find", '{"a": 1}', "{}", "c2")
        assert first.call_id
        assert len({item.id for item in whole.output}) == 4
        assert whole.usage is not None
        assert whole.usage.output_tokens_details.reasoning_tokens == 2
    assert [item.type for item in found.output] == [item.type for item in made.output]
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    done = [event.output_index for event in events if event.type == "response.output_item.done"]
    assert added == done == [0, 1, 2, 3]
    thoughts = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert thoughts == ["Let me ", "see."]


async def test_a_schema_binds_the_text_in_its_own_order(served: Gateway) -> None:
    class Found(BaseModel):
        zebra: int
        answer: str

    served.backend.script = ['{"zebra": 1,', ' "answer": "two"}']
    async with client(served) as asking:
        made = await asking.responses.parse(model="plain", input=ASK, text_format=Found)
        await asking.responses.create(model="plain", input=ASK, text={"format": {"type": "json_object"}})
        await asking.responses.create(model="plain", input=ASK, text={"format": {"type": "text"}})
    assert made.output_parsed == Found(zebra=1, answer="two")
    bound, any_object, free = served.backend.requests
    assert bound.json_schema is not None
    assert list(bound.json_schema["properties"]) == ["zebra", "answer"]
    assert any_object.json_schema == {"type": "object"}
    assert free.json_schema is None


async def test_an_answer_goes_back_as_input(served: Gateway) -> None:
    served.backend.thoughts, served.backend.script = ("Let me see.",), ["I look."]
    served.backend.tool_calls = (RequestedCall("find", '{"a": 1}', "c1"),)
    said: ResponseInputParam = [{"role": "user", "content": [{"type": "input_text", "text": ASK}]}]
    async with client(served) as asking:
        first = await asking.responses.create(model="open", input=said, tools=[TOOL], instructions="Be brief.")
        again: Any = [*said, *first.output, {"type": "function_call_output", "call_id": "c1", "output": "two years"}]
        await asking.responses.create(model="open", input=again, tools=[TOOL], instructions="Be brief.")
        plain: Any = [*again, {"role": "user", "content": "And then?"}]
        await asking.responses.create(model="open", input=plain, tools=[TOOL], instructions="Be brief.")
    asked, answered, third = served.backend.requests
    assert len(asked.token_ids) < len(answered.token_ids) < len(third.token_ids)
    assert served.retriever.queries[-1].text == "And then?"


def conversation(*items: dict[str, Any], instructions: str | None = None) -> Conversation:
    asked = ResponseRequest.model_validate({"model": "m", "input": list(items), "instructions": instructions})
    return asked.conversation_asked()


def test_the_items_of_one_turn_are_one_message() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}
    made = conversation(
        {"role": "developer", "content": "Use units."},
        {"role": "user", "content": "a"},
        {"type": "reasoning", "id": "r1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b", "annotations": []}]},
        call,
        {**call, "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "x"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "y"}]},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"},
        {"role": "user", "content": "e"},
        instructions="Be brief.",
    )
    told = [(one.role, one.content, one.reasoning, [call.id for call in one.tool_calls]) for one in made.messages()]
    assert told == [
        ("system", "Be brief.\n\nUse units.", "", []),
        ("user", "a", "", []),
        ("assistant", "b", "hm", ["c1", "c2"]),
        ("tool", "x", "", []),
        ("tool", "y", "", []),
        ("assistant", "c", "", []),
        ("assistant", "d", "", []),
        ("user", "e", "", []),
    ]
    assert [one.tool_call_id for one in made.messages()][3:5] == ["c1", "c2"]
    names = made.names
    assert (names["messages[0].content"], names["messages[2]"], names["messages[2].tool_calls[1]"]) == (
        "instructions", "input[2]", "input[5]",
    )  # fmt: skip
    assert (names["messages[4].content"], names["messages[7]"], names["messages"]) == (
        "input[7].output", "input[10]", "input",
    )  # fmt: skip


async def test_log_probabilities(served: Gateway) -> None:
    served.backend.script = ["one ", "\ufffd"]
    asked: Any = {"model": "open", "input": ASK, "include": ["message.output_text.logprobs"], "top_logprobs": 2}
    async with client(served) as asking:
        made = await asking.responses.create(**asked)
    events = await streamed(served, **asked)
    (message,) = made.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert [(one.token, one.logprob, one.bytes) for one in part.logprobs] == [
        ("one ", -1.0, list(b"one ")),
        ("\ufffd", -1.0, []),
    ]
    assert [one.logprob for one in part.logprobs[0].top_logprobs] == [-1.0, -2.0]
    pieces = [[one.token for one in event.logprobs] for event in events if event.type == TEXT[-1]]
    assert pieces == [["one "], ["\ufffd"]]


async def test_an_answer_that_is_cut(served: Gateway) -> None:
    async with client(served) as asking:
        made: Any = await asking.responses.create(model="plain", input=ASK, max_output_tokens=2)
    events = await streamed(served, model="plain", input=ASK, max_output_tokens=2)
    assert events[-1].type == "response.incomplete"
    for whole in (made, events[-1].response):
        assert (whole.status, whole.output[0].status) == ("incomplete", "incomplete")
        assert whole.incomplete_details.reason == "max_output_tokens"
        assert whole.output_text == "one two "


def test_calls_that_are_written_at_one_time_stay_apart() -> None:
    """A call without arguments is given its own at the end, when the next one has long begun."""
    events = ResponseEvents("r", ResponseRequest.model_validate({"model": "m", "input": "a"}))
    deltas = (CallDelta(0, "first"), CallDelta(1, "second", "c2", '{"a"'), CallDelta(1, arguments=": 1}"))
    written = events.calls(deltas, 0) + events.calls((CallDelta(0, arguments="{}"),), 0) + events.text("then", 0)
    told = [json.loads(line[6:]) for line in written.decode().splitlines() if line.startswith("data: ")]
    done = [event for event in told if event["type"] == "response.output_item.done"]
    assert [(one["item"]["name"], one["item"]["arguments"]) for one in done] == [
        ("first", "{}"),
        ("second", '{"a": 1}'),
    ]
    assert [event["output_index"] for event in told if event["type"] == "response.output_item.added"] == [0, 1, 2]


async def test_an_answer_that_fails_half_way_says_so(served: Gateway) -> None:
    served.backend.interval, served.backend.script = 0.02, ["word "] * 100
    async with client(served) as asking:
        events = await asking.responses.create(model="plain", input=ASK, stream=True)
        found: list[Any] = []
        async for event in events:
            found.append(event)
            served.backend.ready = False
    last = found[-1]
    assert (last.type, last.response.status, last.response.error.code) == ("response.failed", "failed", "server_error")
    assert "the scripted engine is down" in last.response.error.message
    assert last.response.output[0].status == "incomplete"
    assert last.response.output_text.startswith("word ")


async def test_a_client_that_goes_ends_the_work(served: Gateway) -> None:
    served.backend.interval, served.backend.script = 0.01, ["word "] * 1000
    async with client(served) as asking:
        events = await asking.responses.create(model="plain", input=ASK, stream=True)
        async for event in events:
            if event.type == TEXT[-1]:
                break
        await events.close()
        async with asyncio.timeout(60):
            while served.backend.in_flight:
                await asyncio.sleep(0.01)
    assert served.backend.aborted == 1
    assert [receipt.code for receipt in served.counted] == ["CANCELLED"]


REFUSED: Sequence[tuple[dict[str, Any], str]] = [
    ({"store": True}, "store"),
    ({"background": True}, "background"),
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"truncation": "auto"}, "truncation"),
    ({"max_tool_calls": 3}, "max_tool_calls"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
    ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
    ({"tool_choice": "perhaps"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice"),
    ({"include": ["file_search_call.results"]}, "include[0]"),
    ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
    ({"text": {"verbosity": "high"}}, "text.verbosity"),
    ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "json_schema", "schema": {"type": 7}}}}, "text.format.schema"),
    ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
    ({"top_logprobs": 3}, "top_logprobs"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperature": 7}, "temperature"),
    ({"moderation": {"model": "m"}}, "moderation"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": ""}, "input[0].content"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}, "input[1].role"),
    ({"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "input[1].role"),
    ({"input": [{"type": "reasoning", "id": "r", "encrypted_content": "x"}]}, "input[0].encrypted_content"),
    ({"input": [{"role": "user", "content": "a"}] * 300}, "input"),
    ({"input": [{"role": "developer", "content": "a"}] * 1025}, "input"),
    (
        {"input": [
            {"role": "user", "content": "a"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "no JSON"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
        ]},
        "input[1].arguments",
    ),
    ({"model": "plain", "instructions": "Be brief."}, "instructions"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "at"), REFUSED)
async def test_what_does_not_map_is_refused_by_its_name(
    web: httpx.AsyncClient, served: Gateway, changes: dict[str, Any], at: str
) -> None:
    body = {"model": "open", "input": ASK, **changes}
    answer = await web.post("/v1/responses", json=body)
    told = answer.json()["error"]
    assert (answer.status_code, told["type"], told["code"]) == (400, "invalid_request_error", "invalid_request")
    assert at in told["trivet"]["fields"], told
    assert not served.backend.requests
    assert [receipt.code for receipt in served.counted] == ["INVALID_ARGUMENT"]


async def test_errors_have_openais_form(served: Gateway) -> None:
    async with client(served) as asking:
        with pytest.raises(openai.NotFoundError) as missing:
            await asking.responses.create(model="nothing", input=ASK)
        with pytest.raises(openai.NotFoundError):
            await asking.responses.retrieve("resp_1")
    async with client(served, "wrong") as asking:
        with pytest.raises(openai.AuthenticationError):
            await asking.responses.create(model="plain", input=ASK)
    assert missing.value.code == "model_not_found"


async def test_what_changes_nothing_is_taken(served: Gateway) -> None:
    async with client(served) as asking:
        made = await asking.responses.create(
            model="plain",
            input=ASK,
            store=False,
            background=False,
            truncation="disabled",
            top_p=1,
            service_tier="auto",
            parallel_tool_calls=True,
            include=["reasoning.encrypted_content"],
            text={"verbosity": "medium"},
            reasoning={"summary": None},
        )
    assert (made.output_text, made.store if hasattr(made, "store") else False) == ("one two three", False)
