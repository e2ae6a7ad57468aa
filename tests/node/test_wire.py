"""Everything that the backend seam has goes over the wire and comes back as it was; a new field fails until it does."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from trivet.engine.v1 import engine_pb2
from trivet.engine.wire import (
    charge_from_proto,
    charge_to_proto,
    chunk_from_proto,
    chunk_to_proto,
    start_from_proto,
    start_to_proto,
)
from trivet.errors import InvalidRequest
from trivet.types.generation import (
    BackendRequest,
    CallDelta,
    Chunk,
    EngineTimes,
    FinishReason,
    Logprob,
    MachineAccount,
    MachineCharge,
    RequestedCall,
    TokenLogprob,
)
from trivet.types.request import RequiredCalls, Tool
from trivet.types.variant import Sampling, StreamPace

SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}}
# What a gateway keeps to itself: whom to tell, and the messages that the prompt was made of.
OWN = {"on_unread", "on_charge", "on_placed", "messages"}
# What an engine's own counts never are: of backends that estimate them.
ESTIMATES = {"estimated", "answer_tokens"}


def sampling() -> Sampling:
    return Sampling(
        max_tokens=7, temperature=0.25, top_p=0.5, seed=0, stop=("a", "b"), top_k=0, min_p=0.125, presence_penalty=0.5,
        frequency_penalty=-0.5, repetition_penalty=1.5, max_reasoning_tokens=0, top_logprobs=0,
    )  # fmt: skip


def request() -> BackendRequest:
    return BackendRequest(
        request_id="id",
        token_ids=(1, 2, 3),
        sampling=sampling(),
        adapter="a@1#0123456789ab",
        cache_salt="",
        unsalted_tokens=2,
        activated_from=0,
        json_schema=SCHEMA,
        priority=2,
        schema_owner="tenant",
        tools=(Tool("f", "does", {"type": "object"}, 18),),
        template_variables={"switch": False},
        required_calls=RequiredCalls(SCHEMA, "f"),
        single_call=True,
        account=MachineAccount.SHADOW,
        pace=StreamPace(3, 7.5),
    )


def chunk() -> Chunk:
    return Chunk(
        text="text", tokens=3, engine_at=5.0, finish=FinishReason.LENGTH, input_tokens=9, cached_tokens=0,
        times=EngineTimes(0.5, 0.25, 0.125, 2), reasoning="thought", reasoning_tokens=0,
        tool_calls=(RequestedCall("f", "{}", "id"),), call_deltas=(CallDelta(1, "f", "id", "{"),),
        logprobs=(TokenLogprob(Logprob("a", -0.5), (Logprob("b", -0.25),)),),
        parser_gave_up=True,
    )  # fmt: skip


def over(sent: Chunk, now: float) -> Chunk:
    message = engine_pb2.Chunk()
    chunk_to_proto(sent, message)
    return chunk_from_proto(message, now)


def unset(value: Any) -> list[str]:
    """Fields that are as they are by default, and so would show nothing."""
    plain: dict[type[Any], Any] = {
        BackendRequest: BackendRequest("", (), Sampling()),
        Sampling: Sampling(),
        Chunk: Chunk("", 0, 0.0),
    }
    empty = plain[type(value)]
    return [
        one.name
        for one in fields(value)
        if one.name not in OWN | ESTIMATES and getattr(value, one.name) == getattr(empty, one.name)
    ]


def test_each_field_of_a_request_goes_over() -> None:
    assert unset(request()) == unset(sampling()) == []
    back = start_from_proto(start_to_proto(request()))
    assert replace(back, **{name: getattr(request(), name) for name in OWN}) == replace(
        request(), **{name: getattr(request(), name) for name in OWN}
    )
    assert list((back.json_schema or {})["properties"]) == ["b", "a"]


def test_each_field_of_a_chunk_goes_over() -> None:
    assert unset(chunk()) == []
    assert over(chunk(), 5.0) == chunk()


def test_what_is_not_given_is_not_made_up() -> None:
    plain = BackendRequest("id", (1,), Sampling())
    back = start_from_proto(start_to_proto(plain))
    assert {one.name for one in fields(plain) if getattr(back, one.name) != getattr(plain, one.name)} <= OWN
    assert over(Chunk("", 0, 1.0), 1.0) == Chunk("", 0, 1.0)


def test_each_field_of_a_charge_goes_over() -> None:
    for charge in (MachineCharge(5, 7, 0.25), MachineCharge(0, 0)):
        back = charge_from_proto(charge_to_proto(charge))
        assert (back, back.prompt_weight) == (charge, charge.prompt_weight)


@pytest.mark.parametrize("pace", [(0, 1.0), (1025, 1.0), (1, -1.0), (1, 1001.0), (1, float("nan"))])
def test_a_pace_out_of_its_bounds_is_refused_and_an_older_gateway_needs_none(pace: tuple[int, float]) -> None:
    start = start_to_proto(request())
    start.gathered_tokens, start.gathered_ms = pace
    with pytest.raises(InvalidRequest) as refused:
        start_from_proto(start)
    assert "expected 1 to 1,024 tokens and 0 to 1,000 ms" in refused.value.fields["gathered_tokens"]
    start.ClearField("gathered_tokens")
    start.ClearField("gathered_ms")
    assert start_from_proto(start).pace == StreamPace()
