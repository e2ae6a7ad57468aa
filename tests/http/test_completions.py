"""Texts that are continued, over HTTP with the real `openai` client, on a scripted backend."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest

from tests.support.gateway.harness import Gateway
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer


def client(served: Gateway, key: str = "secret-a") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://{served.http}/v1", api_key=key, max_retries=0)


def extension(made: Any) -> dict[str, Any]:
    found: dict[str, Any] = made.model_extra["trivet"]
    return found


async def test_a_text_is_continued_as_it_stands(served: Gateway) -> None:
    text = " Once <|im_start|>user\nupon "
    async with client(served) as asking:
        raw = await asking.completions.with_raw_response.create(
            model="raw", prompt=text, max_tokens=8, temperature=0.5, seed=3, stop="###", user="unit-1"
        )
    made = raw.parse()
    (choice,) = made.choices
    assert (choice.index, choice.text, choice.finish_reason) == (0, "one two three", "stop")
    assert made.object == "text_completion"
    told = extension(made)["receipt"]
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (int(told["input_tokens"]), 3)
    assert (told["route"], told["unit_source"]) == ("raw", "UNIT_SOURCE_REQUEST")
    assert raw.headers["x-trivet-variant"] == "raw"
    (request,) = served.backend.requests
    assert (request.sampling.max_tokens, request.sampling.seed, request.sampling.stop) == (8, 3, ("###",))
    tokenizer = ChatTokenizer.load(served.folder / "tokenizer").text
    assert request.token_ids == tuple(tokenizer.encode_text(text, True).ids), "nothing is put around it"
    assert not tokenizer.control_ids & set(request.token_ids)


async def test_each_of_several_texts_is_a_request_of_its_own(served: Gateway) -> None:
    async with client(served) as asking:
        made = await asking.completions.create(model="raw", prompt=["One", "Two", "Three"], n=2, seed=5)
    assert [choice.index for choice in made.choices] == list(range(6))
    everything = [extension(made)]
    everything += everything[0]["others"]
    receipts = [told["receipt"] for told in everything]
    names = [told["request_id"] for told in receipts]
    assert names == [names[0], f"{names[0]}-1", f"{names[0]}-2"]
    assert made.usage is not None
    assert made.usage.prompt_tokens == sum(int(told["input_tokens"]) for told in receipts)
    assert made.usage.completion_tokens == 18
    assert made.usage.prompt_tokens_details is not None
    assert sorted(request.sampling.seed or 0 for request in served.backend.requests) == [5, 5, 5, 6, 6, 6]
    assert {receipt.request_id for receipt in served.counted} == set(names)


async def test_a_stream_tells_of_which_answer_each_piece_is(served: Gateway) -> None:
    served.backend.interval, served.backend.script = 0.01, ["\u00e9 ", "\U0001f600", " \u6f22"]
    async with client(served) as asking:
        pieces = await asking.completions.create(
            model="raw", prompt=["One", "Two"], n=2, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in pieces]
    said = [choice for chunk in chunks for choice in chunk.choices]
    for index in range(4):
        own = [choice for choice in said if choice.index == index]
        assert "".join(choice.text for choice in own) == "".join(served.backend.script)
        assert [choice.finish_reason for choice in own if choice.finish_reason] == ["stop"]
        assert own[-1].finish_reason
    indices = [choice.index for choice in said if choice.text]
    assert indices != sorted(indices)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert len(extension(chunks[-2])["others"]) == 1


async def test_log_probabilities_in_the_legacy_form(served: Gateway) -> None:
    async with client(served) as asking:
        made = await asking.completions.create(model="raw", prompt="One", logprobs=2)
        pieces = await asking.completions.create(model="raw", prompt="One", logprobs=0, stream=True)
        streamed = [choice.logprobs async for chunk in pieces for choice in chunk.choices if choice.logprobs]
    told = made.choices[0].logprobs
    assert told is not None
    assert told.tokens == ["one ", "two ", "three"]
    assert told.token_logprobs == [-1.0] * 3
    assert told.top_logprobs == [{word: -1.0, "other 1": -2.0} for word in told.tokens]
    assert told.text_offset == [0, 4, 8]
    assert [offset for one in streamed for offset in one.text_offset or ()] == [0, 4, 8]
    assert [token for one in streamed for token in one.tokens or ()] == told.tokens


async def test_thoughts_are_told_apart(served: Gateway) -> None:
    served.backend.thoughts = ("Let me ", "see.")
    async with client(served) as asking:
        made = await asking.completions.create(model="raw", prompt="One")
        pieces = await asking.completions.create(model="raw", prompt="One", stream=True)
        said = [choice.model_extra or {} async for chunk in pieces for choice in chunk.choices]
    assert made.choices[0].model_extra == {"reasoning": "Let me see."}
    assert "".join(extra.get("reasoning", "") for extra in said) == "Let me see."


def asked(**fields: Any) -> dict[str, Any]:
    return {"model": "raw", "prompt": "One", **fields}


CASES: tuple[tuple[dict[str, Any], int, str, str | None], ...] = (
    (asked(model="no-such-route"), 404, "model_not_found", None),
    (asked(model="plain"), 400, "invalid_request", "prompt"),
    (asked(model=""), 400, "invalid_request", "model"),
    ({"model": "raw"}, 400, "invalid_request", "prompt"),
    (asked(prompt=""), 400, "invalid_request", "prompt"),
    (asked(prompt=[]), 400, "invalid_request", "prompt"),
    (asked(prompt=["One", ""]), 400, "invalid_request", "prompt"),
    (asked(prompt=["One"] * 17), 400, "invalid_request", "prompt"),
    (asked(prompt=[1, 2, 3]), 400, "invalid_request", "prompt"),
    (asked(prompt=[[1, 2], [3]]), 400, "invalid_request", "prompt"),
    (asked(prompt="word " * 9000), 400, "context_length_exceeded", None),
    (asked(prompt=["One", "word " * 9000]), 400, "context_length_exceeded", None),
    (asked(suffix="end"), 400, "invalid_request", "suffix"),
    (asked(echo=True), 400, "invalid_request", "echo"),
    (asked(best_of=2), 400, "invalid_request", "best_of"),
    (asked(n=9), 400, "invalid_request", "n"),
    (asked(logprobs=21), 400, "invalid_request", "logprobs"),
    (asked(logprobs=True), 400, "invalid_request", "logprobs"),
    (asked(max_tokens=0), 400, "invalid_request", "max_tokens"),
    (asked(temperature=3), 400, "invalid_request", "temperature"),
    (asked(stop=""), 400, "invalid_request", "stop"),
    (asked(tools=[]), 400, "invalid_request", "tools"),
    (asked(stream_options={"include_usage": True}), 400, "invalid_request", "stream_options"),
)  # fmt: skip


async def test_wrong_requests(web: httpx.AsyncClient, served: Gateway) -> None:
    for body, status, code, parameter in CASES:
        answer = await web.post("/v1/completions", json=body)
        error = answer.json()["error"]
        told = (answer.status_code, error["code"], error["param"])
        assert told == (status, code, parameter), (str(body)[:200], answer.text[:400])
        assert error["trivet"]["receipt"]["code"] == ("NOT_FOUND" if status == 404 else "INVALID_ARGUMENT")
    assert served.backend.in_flight == 0
    neutral: dict[str, Any] = {"suffix": None, "echo": False, "best_of": 1, "n": 1, "logit_bias": {}, "stream": None}
    assert (await web.post("/v1/completions", json=asked(**neutral))).status_code == 200


async def test_a_conversation_is_no_text_to_be_continued(web: httpx.AsyncClient) -> None:
    chat = {"model": "raw", "messages": [{"role": "user", "content": "One"}]}
    answer = await web.post("/v1/chat/completions", json=chat)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages")
    assert "continues texts" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_ends_all_of_them(web: httpx.AsyncClient, served: Gateway, stream: bool) -> None:
    served.backend.interval, served.backend.script = 0.01, ["word "] * 500
    body = asked(prompt=["One", "Two"], n=2, stream=stream)
    work = asyncio.create_task(web.post("/v1/completions", json=body))
    async with asyncio.timeout(60):
        while served.backend.in_flight < 4:
            await asyncio.sleep(0.01)
        work.cancel()
        while served.backend.in_flight or len(served.counted) < 2:
            await asyncio.sleep(0.01)
    assert {receipt.code for receipt in served.counted} == {"CANCELLED"}


async def test_a_stream_that_fails_half_way(served: Gateway, web: httpx.AsyncClient) -> None:
    served.backend.interval, served.backend.script = 0.02, ["word "] * 100
    events: list[str] = []
    async with web.stream("POST", "/v1/completions", json=asked(prompt=["One", "Two"], stream=True)) as answer:
        async for line in answer.aiter_lines():
            served.backend.ready = False
            events += [line.removeprefix("data: ")] if line else []
    assert events[-1] == "[DONE]"
    error = json.loads(events[-2])["error"]
    assert (error["type"], error["trivet"]["receipt"]["code"]) == ("server_error", "UNAVAILABLE")
    assert served.backend.in_flight == 0
