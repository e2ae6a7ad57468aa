"""Chat completions over HTTP with the real `openai` client, on a scripted backend."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionNamedToolChoiceParam,
)
from pydantic import BaseModel

from tests.support.gateway.harness import Gateway, gateway
from trivet.types.generation import RequestedCall
from trivet.types.request import KeyRole

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How long is the warranty?"}]


def client(served: Gateway, key: str = "secret-a") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://{served.http}/v1", api_key=key, max_retries=0)


def extension(made: BaseModel) -> dict[str, Any]:
    assert made.model_extra is not None
    found: dict[str, Any] = made.model_extra["trivet"]
    return found


async def test_a_whole_answer(served: Gateway) -> None:
    async with client(served) as asking:
        raw = await asking.chat.completions.with_raw_response.create(model="rag", messages=ASK, user="unit-1")
    made = raw.parse()
    (choice,) = made.choices
    assert choice.message.content == "one two three"
    assert choice.finish_reason == "stop"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 3
    told = extension(made)["receipt"]
    assert (told["tenant"], told["variant"], told["unit_source"]) == ("a", "rag", "UNIT_SOURCE_REQUEST")
    assert made.id == f"chatcmpl-{told['request_id']}"
    assert raw.headers["x-request-id"] == told["request_id"]
    assert raw.headers["x-trivet-variant"] == "rag"
    assert [one["passage_id"] for one in extension(made)["citations"]] == told["passage_ids"] != []


async def test_a_stream_says_the_same_text_and_ends_with_usage(served: Gateway) -> None:
    served.backend.script = ["one ", "\u00e9", "\U0001f600", " \u6f22\u5b57", '"\\\n']
    async with client(served) as asking:
        whole = await asking.chat.completions.create(model="plain", messages=ASK)
        pieces = await asking.chat.completions.create(
            model="plain", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in pieces]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content == "".join(served.backend.script)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(served.backend.script)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert extension(chunks[-2])["receipt"]["code"] == "OK"
    assert len({chunk.id for chunk in chunks}) == 1


async def test_what_is_asked_for_reaches_the_engine(served: Gateway) -> None:
    class Found(BaseModel):
        zebra: int
        answer: str

    served.backend.script = ['{"zebra": 1,', ' "answer": "two"}']
    async with client(served) as asking:
        made = await asking.chat.completions.parse(
            model="plain",
            messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            response_format=Found,
            max_completion_tokens=17,
            temperature=0.5,
            seed=7,
            stop="###",
            metadata={"team": "x"},
        )
    assert made.choices[0].message.parsed == Found(zebra=1, answer="two")
    (request,) = served.backend.requests
    assert request.json_schema is not None
    assert list(request.json_schema["properties"]) == ["zebra", "answer"], "in the schema's own order"
    assert (request.sampling.max_tokens, request.sampling.temperature, request.sampling.seed) == (17, 0.5, 7)
    assert tuple(request.sampling.stop) == ("###",)
    receipt = served.receipts.find("a", extension(made)["receipt"]["request_id"])
    assert receipt is not None
    assert dict(receipt.labels) == {"team": "x"}


async def test_what_changes_nothing_is_taken_and_what_a_route_allows_reaches_the_engine(served: Gateway) -> None:
    neutral: dict[str, Any] = {"top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "n": 1, "store": False}
    told: ChatCompletionMessageParam = {"role": "developer", "content": "Be brief."}
    async with client(served) as asking:
        await asking.chat.completions.create(model="plain", messages=ASK, extra_body={"ignore_eos": False}, **neutral)
        await asking.chat.completions.create(
            model="open", messages=[told, *ASK], top_p=0.5, presence_penalty=1, extra_body={"top_k": 3}
        )
    plain, opened = served.backend.requests
    assert plain.sampling.top_p == 1
    drawn = opened.sampling
    assert (drawn.top_p, drawn.presence_penalty, drawn.top_k) == (0.5, 1.0, 3)
    assert len(opened.token_ids) > len(plain.token_ids)


TOOL: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}},
}


async def test_thoughts_and_calls_come_apart_from_the_text(served: Gateway) -> None:
    served.backend.thoughts, served.backend.script = ("Let me ", "see."), ["I look ", "it up."]
    served.backend.tool_calls = (RequestedCall("find", '{"a": 1}'), RequestedCall("find", "{}", "c2"))
    async with client(served) as asking:
        made = await asking.chat.completions.create(model="open", messages=ASK, tools=[TOOL])
        pieces = await asking.chat.completions.create(
            model="open", messages=ASK, tools=[TOOL], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in pieces]
    (choice,) = made.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I look it up."
    assert choice.message.model_extra is not None
    assert choice.message.model_extra["reasoning"] == choice.message.model_extra["reasoning_content"] == "Let me see."
    assert choice.message.tool_calls is not None
    first, second = choice.message.tool_calls
    assert first.type == second.type == "function"
    assert (first.function.name, first.function.arguments, second.id) == ("find", '{"a": 1}', "c2")
    assert first.id
    assert made.usage is not None
    assert made.usage.completion_tokens_details is not None
    assert made.usage.completion_tokens_details.reasoning_tokens == 2
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join((delta.model_extra or {}).get("reasoning", "") for delta in deltas) == "Let me see."
    assert "".join(delta.content or "" for delta in deltas) == "I look it up."
    asked = [call for delta in deltas for call in delta.tool_calls or ()]
    heads = [call for call in asked if call.function and call.function.name]
    assert [(call.index, call.function and call.function.name) for call in heads] == [(0, "find"), (1, "find")]
    assert heads[0].id
    assert heads[1].id == "c2"
    for call in choice.message.tool_calls:
        index = choice.message.tool_calls.index(call)
        written = "".join(one.function.arguments or "" for one in asked if one.index == index and one.function)
        assert call.type == "function"
        assert written == call.function.arguments
    assert chunks[-2].choices[0].finish_reason == "tool_calls"


async def test_calls_that_are_required(served: Gateway) -> None:
    served.backend.script, served.backend.tool_calls = [""], (RequestedCall("find", '{"a": 1}'),)
    named: ChatCompletionNamedToolChoiceParam = {"type": "function", "function": {"name": "find"}}
    async with client(served) as asking:
        for choice in ("required", named):
            made = await asking.chat.completions.create(
                model="open", messages=ASK, tools=[TOOL], tool_choice=choice, parallel_tool_calls=False
            )
            assert made.choices[0].finish_reason == "tool_calls"
            assert made.choices[0].message.content is None
        async with asking.chat.completions.stream(
            model="open", messages=ASK, tools=[TOOL], tool_choice="required"
        ) as stream:
            whole = await stream.get_final_completion()
        with pytest.raises(openai.BadRequestError, match="none of the tools") as refused:
            other: ChatCompletionNamedToolChoiceParam = {"type": "function", "function": {"name": "other"}}
            await asking.chat.completions.create(model="open", messages=ASK, tools=[TOOL], tool_choice=other)
    assert refused.value.param == "tool_choice"
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].function.arguments == '{"a": 1}'
    required, one, streamed = served.backend.requests
    assert required.required_calls is not None
    assert required.required_calls.schema["maxItems"] == 1
    assert required.single_call
    assert one.required_calls is not None
    assert one.required_calls.name == "find"
    assert not streamed.single_call


async def test_several_answers(served: Gateway) -> None:
    served.backend.tool_calls, served.backend.interval = (RequestedCall("find", "{}"),), 0.01
    async with client(served) as asking:
        made = await asking.chat.completions.create(model="open", messages=ASK, tools=[TOOL], n=3)
        pieces = await asking.chat.completions.create(
            model="open", messages=ASK, tools=[TOOL], n=2, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in pieces]
    assert [(choice.index, choice.message.content) for choice in made.choices] == [
        (number, "one two three") for number in range(3)
    ]
    ids = [call.id for choice in made.choices for call in choice.message.tool_calls or ()]
    assert len(set(ids)) == 3
    assert made.usage is not None
    told = extension(made)["receipt"]
    usage = (made.usage.prompt_tokens, made.usage.completion_tokens)
    assert usage == (int(told["input_tokens"]), int(told["output_tokens"]))
    assert made.usage.completion_tokens == 9
    said = [chunk.choices[0] for chunk in chunks if chunk.choices]
    for number in range(2):
        own = [choice for choice in said if choice.index == number]
        assert own[0].delta.role == "assistant"
        assert "".join(choice.delta.content or "" for choice in own) == "one two three"
        assert [choice.finish_reason for choice in own if choice.finish_reason] == ["tool_calls"]
    indices = [choice.index for choice in said if choice.delta.content]
    assert indices != sorted(indices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


async def test_log_probabilities(served: Gateway) -> None:
    served.backend.script = ["one ", "\ufffd"]
    async with client(served) as asking:
        made = await asking.chat.completions.create(model="open", messages=ASK, logprobs=True, top_logprobs=2)
        pieces = await asking.chat.completions.create(model="open", messages=ASK, logprobs=True, stream=True)
        chunks = [chunk async for chunk in pieces]
        with pytest.raises(openai.BadRequestError, match="only with logprobs") as refused:
            await asking.chat.completions.create(model="open", messages=ASK, top_logprobs=2)
        with pytest.raises(openai.BadRequestError, match="does not allow it"):
            await asking.chat.completions.create(model="plain", messages=ASK, logprobs=True)
    assert refused.value.param == "top_logprobs"
    assert made.choices[0].logprobs is not None
    assert made.choices[0].logprobs.content is not None
    first, second = made.choices[0].logprobs.content
    assert (first.token, first.logprob, first.bytes) == ("one ", -1.0, list(b"one "))
    assert [one.logprob for one in first.top_logprobs] == [-1.0, -2.0]
    assert second.bytes is None, "a part of a character"
    told = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices]
    assert [one.token for some in told if some for one in some.content or ()] == ["one ", "\ufffd"]


async def test_a_conversation_goes_on_after_a_call(served: Gateway) -> None:
    asked: ChatCompletionMessageParam = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
    }
    found: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": "c1", "content": "two years"}
    async with client(served) as asking:
        await asking.chat.completions.create(model="open", messages=[*ASK, asked, found], tools=[TOOL])
        await asking.chat.completions.create(model="open", messages=ASK, tools=[TOOL], tool_choice="none")
        await asking.chat.completions.create(model="open", messages=ASK)
    long, silent, plain = served.backend.requests
    assert len(long.token_ids) > len(silent.token_ids) == len(plain.token_ids)


async def test_an_answer_that_fails_half_way(served: Gateway) -> None:
    served.backend.interval, served.backend.script = 0.02, ["word "] * 100
    async with client(served) as asking:
        pieces = await asking.chat.completions.create(model="plain", messages=ASK, stream=True)
        with pytest.raises(openai.APIError, match="the scripted engine is down"):
            async for _ in pieces:
                served.backend.ready = False


def blocking(address: str) -> tuple[str, int]:
    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="secret-b", max_retries=0) as asking:
        made = asking.chat.completions.create(model="plain", messages=ASK)
        streamed = list(asking.chat.completions.create(model="plain", messages=ASK, stream=True))
    return str(made.choices[0].message.content), len(streamed)


async def test_the_blocking_client_and_many_at_once(served: Gateway) -> None:
    found = await asyncio.gather(*(asyncio.to_thread(blocking, served.http) for _ in range(4)))
    assert [text for text, _ in found] == ["one two three"] * 4
    assert served.metric("requests_in_flight") == 0


async def test_models_are_the_routes(served: Gateway) -> None:
    async with client(served) as asking:
        names = [model.id async for model in asking.models.list()]
        assert names == sorted(served.table.routes)
        assert (await asking.models.retrieve("rag")).id == "rag"
        with pytest.raises(openai.NotFoundError):
            await asking.models.retrieve("nothing")


async def test_a_key_for_some_routes_sees_and_calls_those_alone(tmp_path: Path) -> None:
    keys = (("secret-a", "a", KeyRole.CLIENT),)
    async with gateway(tmp_path, http=True, keys=keys, key_routes=["rag"]) as served, client(served) as asking:
        assert [model.id async for model in asking.models.list()] == ["rag"]
        with pytest.raises(openai.NotFoundError):
            await asking.models.retrieve("plain")
        with pytest.raises(openai.PermissionDeniedError):
            await asking.chat.completions.create(model="plain", messages=ASK)


async def test_search_receipts_and_feedback(served: Gateway, web: httpx.AsyncClient) -> None:
    found = (await web.post("/v1/retrieve", json={"route": "rag", "text": "warranty"})).json()
    assert found["citations"]
    async with client(served) as asking:
        made = await asking.chat.completions.create(model="plain", messages=ASK)
    name = extension(made)["receipt"]["request_id"]
    assert (await web.get(f"/v1/receipts/{name}")).json()["receipt"] == extension(made)["receipt"]
    others = await web.get(f"/v1/receipts/{name}", headers={"authorization": "Bearer secret-b"})
    assert others.status_code == 404
    assert (await web.post("/v1/feedback", json={"request_id": name, "score": 1})).status_code == 200
    assert served.rated == [(name, 1.0)]
    for path, body, field in (
        ("/v1/feedback", {"request_id": name, "score": 7}, "score"),
        ("/v1/feedback", {"request_id": "r" * 200}, "request_id"),
        ("/v1/retrieve", {"route": "rag", "text": "x" * 9000}, "text"),
        ("/v1/retrieve", {"route": "rag", "words": "x"}, "body"),
        ("/v1/retrieve", {"route": {"a": [1]}}, "body"),
        ("/v1/retrieve", {"route": "rag", "text": "x", "more_texts": ["a", "b", "c", "d"]}, "more_texts"),
        ("/v1/retrieve", {"route": "rag", "text": "x", "more_texts": ["a", "y" * 8193]}, "more_texts[1]"),
        ("/v1/retrieve", {"route": "rag", "text": "x", "more_texts": [" "]}, "more_texts[0]"),
    ):
        refused = await web.post(path, json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, field), refused.text
    missing = await web.post("/v1/feedback", json={"request_id": "nobody", "score": 1})
    assert missing.status_code == 404


async def test_a_search_with_several_texts(served: Gateway, web: httpx.AsyncClient) -> None:
    body = {"route": "rag", "text": "warranty", "more_texts": ["months of guarantee", "how long"]}
    assert (await web.post("/v1/retrieve", json=body)).status_code == 200
    asked = served.retriever.queries[-1]
    assert (asked.text, asked.more) == ("warranty", ("months of guarantee", "how long"))
    told = (await web.get("/openapi.json")).json()["paths"]["/v1/retrieve"]["post"]["requestBody"]
    texts = told["content"]["application/json"]["schema"]["properties"]["more_texts"]
    assert (texts["maxItems"], texts["items"]["maxLength"]) == (3, 8192)


async def test_the_description_names_every_path(web: httpx.AsyncClient) -> None:
    told = (await web.get("/openapi.json")).json()
    assert {"/v1/chat/completions", "/v1/models", "/v1/retrieve", "/v1/feedback"} <= set(told["paths"])
    assert "ChatCompletionRequest" in told["components"]["schemas"]
