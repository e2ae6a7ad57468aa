"""Follow-up questions written anew by a real engine, on the demo's model: by the base or the adapter, and bounded."""

from __future__ import annotations

import pytest

from trivet.api.v1 import inference_pb2
from trivet.client import Client
from trivet.pipeline.rewriting.transcript import one_line, transcript
from trivet.types.request import Message
from trivet.types.variant import RewriteSettings, VersionRef

pytestmark = pytest.mark.engine

ASKED = "And what is its weight?"
TURNS = (
    Message("user", "Is the Brixal Lantern bright?"),
    Message("assistant", "Yes, it is."),
    Message("user", ASKED),
)
SHOWN = transcript(TURNS, RewriteSettings(VersionRef("rewrite", "1")))


def asked(route: str, *turns: Message) -> inference_pb2.GenerateRequest:
    messages = [inference_pb2.Message(role=one.role, content=one.content) for one in turns]
    return inference_pb2.GenerateRequest(route=route, messages=messages)


def found(client: Client, route: str, text: str) -> list[str]:
    response = client.retrieve(inference_pb2.RetrieveRequest(route=route, text=text))
    return [one.passage_id for one in response.citations]


def cited(answer: inference_pb2.GenerateResponse) -> list[str]:
    return [one.passage_id for one in answer.citations]


def written(client: Client, route: str) -> inference_pb2.GenerateResponse:
    """What a client is answered with the rewriting's prompt and the same words."""
    return client.generate(asked(route, Message("user", SHOWN)))


@pytest.mark.parametrize(
    ("route", "writer", "adapter"),
    [("follow-up", "rewrite", ""), ("follow-up-adapter", "rewrite-adapter", "json-answer@1")],
)
def test_it_is_searched_with_what_the_variants_writer_writes(
    client: Client, route: str, writer: str, adapter: str
) -> None:
    expected = written(client, writer)
    answer = client.generate(asked(route, *TURNS))
    receipt = answer.receipt
    assert (receipt.rewritten, list(receipt.degraded)) == (True, [])
    assert receipt.adapter == expected.receipt.adapter == adapter
    assert receipt.output_tokens == expected.receipt.output_tokens + 1
    assert cited(answer) == found(client, route, one_line(expected.text))
    alone = client.generate(asked(route, TURNS[-1])).receipt
    assert (alone.rewritten, alone.output_tokens) == (False, 1), "nothing comes before it"
    assert receipt.cost.output == receipt.output_tokens * alone.cost.output


def test_the_adapter_writes_otherwise_than_the_base(client: Client) -> None:
    """Without this the test above could not tell who was asked."""
    base, adapter = written(client, "rewrite"), written(client, "rewrite-adapter")
    assert base.text != adapter.text
    assert base.receipt.output_tokens != adapter.receipt.output_tokens


def test_the_rewriting_ends_at_its_own_number_of_tokens(client: Client) -> None:
    receipt = client.generate(asked("follow-up-short", *TURNS)).receipt
    assert receipt.rewritten
    assert receipt.output_tokens == 2 + 1


def test_it_is_searched_with_the_question_as_asked_where_the_rewriting_is_late(client: Client) -> None:
    answer = client.generate(asked("follow-up-late", *TURNS))
    assert (answer.receipt.rewritten, list(answer.receipt.degraded)) == (False, ["rewrite_timeout"])
    assert cited(answer) == found(client, "follow-up-late", ASKED)
