"""The demo's server over HTTP, with the real `openai` client: the same answers as over gRPC."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.support.gateway.serving import metrics, total, until
from trivet.api.v1 import inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

pytestmark = pytest.mark.engine

QUESTION = "What is the range of the Orlo Hub?"
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]


@pytest.fixture
def chat(server: ServerProcess) -> Iterator[openai.OpenAI]:
    """A client of the running server."""
    with openai.OpenAI(base_url=f"http://{server.http_address}/v1", api_key="none", max_retries=0) as asking:
        yield asking


def test_both_doors_give_the_same_answer(chat: openai.OpenAI, client: Client) -> None:
    message = inference_pb2.Message(role="user", content=QUESTION)
    over_grpc = client.generate(inference_pb2.GenerateRequest(route="support", messages=[message]))
    made = chat.chat.completions.create(model="support", messages=ASK)
    assert made.choices[0].message.content == over_grpc.text == "60 metres"
    assert made.model_extra is not None
    told = made.model_extra["trivet"]
    assert told["citations"][0]["document_id"] == over_grpc.citations[0].document_id
    assert made.usage is not None
    assert made.usage.prompt_tokens == over_grpc.receipt.input_tokens
    assert made.usage.prompt_tokens_details is not None
    assert (made.usage.prompt_tokens_details.cached_tokens or 0) > 0
    assert client.get_receipt(told["receipt"]["request_id"]).receipt.variant == told["receipt"]["variant"]


def test_a_stream_is_the_same_text(chat: openai.OpenAI) -> None:
    chunks = list(chat.chat.completions.create(model="support", messages=ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "60 metres"


def test_a_schema_binds_the_answer_in_its_own_order(chat: openai.OpenAI) -> None:
    class Rated(BaseModel):
        zeal: bool
        answer: int

    made = chat.chat.completions.parse(model="support", messages=ASK, response_format=Rated, max_tokens=60)
    text = made.choices[0].message.content
    assert text is not None
    assert list(json.loads(text)) == ["zeal", "answer"]
    some = chat.chat.completions.create(
        model="support", messages=ASK, response_format={"type": "json_object"}, max_tokens=64
    )
    assert str(some.choices[0].message.content).startswith("{")


def test_characters_of_many_tokens_come_whole(chat: openai.OpenAI) -> None:
    said = "\U0001f469\u200d\U0001f469\u200d\U0001f467 e\u0301\u0323 \u6f22\u5b57 \U0001f1e9\U0001f1ea \ud55c\uae00"
    properties = {"said": {"type": "string", "enum": [said]}}
    schema = {"type": "object", "properties": properties, "required": ["said"], "additionalProperties": False}
    form: Any = {"type": "json_schema", "json_schema": {"name": "said", "schema": schema}}
    pieces = chat.chat.completions.create(
        model="support", messages=ASK, response_format=form, max_tokens=200, stream=True
    )
    texts = [piece.choices[0].delta.content or "" for piece in pieces]
    assert all("\ufffd" not in text for text in texts)
    assert sum(1 for text in texts if text) > 3
    assert json.loads("".join(texts)) == {"said": said}
    assert said in "".join(texts), "as characters, not as escapes"


def test_several_answers_are_drawn_with_seeds_of_their_own(chat: openai.OpenAI) -> None:
    drawn: dict[str, Any] = {"model": "support", "messages": ASK, "temperature": 2.0, "max_tokens": 12}
    several = chat.chat.completions.create(**drawn, n=3, seed=11)
    texts = [choice.message.content for choice in several.choices]
    assert len(set(texts)) > 1
    singles = [chat.chat.completions.create(**drawn, seed=seed) for seed in (11, 12, 13)]
    assert [one.choices[0].message.content for one in singles] == texts
    alone = singles[0]
    assert several.usage is not None
    assert alone.usage is not None
    assert several.usage.prompt_tokens == 3 * alone.usage.prompt_tokens


def test_a_text_is_continued_by_the_real_model(chat: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "raw", "max_tokens": 5}
    made = chat.completions.create(**asked, prompt=["The Orlo Hub", "<|im_start|>The Orlo Hub"])
    assert [choice.finish_reason for choice in made.choices] == ["length"] * 2
    assert made.model_extra is not None
    first, second = made.model_extra["trivet"], made.model_extra["trivet"]["others"][0]
    counts = [int(told["receipt"]["input_tokens"]) for told in (first, second)]
    assert counts[1] > counts[0] + 1, "a marker is some words, and no control token"
    streamed = chat.completions.create(**asked, prompt="The Orlo Hub", stream=True)
    assert "".join(choice.text for chunk in streamed for choice in chunk.choices) == made.choices[0].text


def test_vectors_are_those_of_the_indexs_own_model(chat: openai.OpenAI) -> None:
    texts = ["What is the range of the Orlo Hub?", "How far does the Orlo Hub reach?", "A recipe for soup"]
    packed = [one.embedding for one in chat.embeddings.create(model="handbook", input=texts).data]
    plain = [
        one.embedding for one in chat.embeddings.create(model="handbook", input=texts, encoding_format="float").data
    ]
    assert np.array_equal(np.array(plain, dtype=np.float32), np.array(packed, dtype=np.float32))

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(packed[0], packed[0]) == pytest.approx(1, abs=1e-3)
    assert cosine(packed[0], packed[1]) > cosine(packed[0], packed[2]) + 0.3
    with pytest.raises(openai.BadRequestError, match="which is what the model sees"):
        chat.embeddings.create(model="handbook", input="word " * 1000)


def test_a_client_that_leaves_its_stream_frees_the_engine(chat: openai.OpenAI, server: ServerProcess) -> None:
    def cancelled() -> float:
        return sum(
            value
            for name, value in metrics(server).items()
            if name.startswith("trivet_requests_total{") and 'code="CANCELLED"' in name
        )

    before = cancelled()
    pieces = chat.chat.completions.create(
        model="support", messages=ASK, stream=True, max_tokens=500, response_format={"type": "json_object"}
    )
    next(iter(pieces))
    pieces.close()
    started = time.monotonic()
    until(lambda: cancelled() == before + 1, 5)
    assert time.monotonic() - started < 5
    until(lambda: total(metrics(server), "trivet_requests_in_flight") == 0, 5)


def test_a_document_is_found_as_soon_as_it_is_acknowledged(server: ServerProcess) -> None:
    document = {"id": "http-lamp", "title": "Lamp", "text": "The Zephyr lamp weighs exactly 4321 grams."}
    search = {"route": "support", "text": "How heavy is the Zephyr lamp?"}
    with httpx.Client(base_url=f"http://{server.http_address}/v1", timeout=60) as asking:

        def found() -> list[str]:
            told = asking.post("/retrieve", json=search).raise_for_status().json()
            return [one["document_id"] for one in told.get("citations", ())]

        told = asking.post("/documents", json={"index": "handbook", "document": document})
        assert (told.status_code, told.json()["id"]) == (200, "http-lamp"), told.text
        assert "http-lamp" in found()
        (index,) = (one for one in asking.get("/indexes").json()["indexes"] if one["name"] == "handbook")
        assert "support" in index["routes"]
        gone = asking.post("/documents/delete", json={"index": "handbook", "ids": ["http-lamp", "none"]})
        assert gone.json() == {"deleted": ["http-lamp"], "missing": ["none"]}
        assert "http-lamp" not in found()
