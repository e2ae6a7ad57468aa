"""The demo's server over HTTP, with the real `openai` client: the same answers as over gRPC."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

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
