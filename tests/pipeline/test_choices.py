"""Several answers to one request, over a real channel, on a scripted engine: one place, one receipt, all or none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from tests.support.gateway.harness import Gateway, failure, gateway, request
from tests.support.gateway.serving import until
from trivet.api.v1 import receipt_pb2
from trivet.pipeline.stream import all_of
from trivet.rpc.request.calls import generate_call
from trivet.testing import ScriptedBackend
from trivet.types.request import Caller, KeyRole

PUBLIC = Caller("public", KeyRole.OPERATOR)


async def test_answers_share_a_place_and_a_receipt_and_differ_in_their_seeds(tmp_path: Path) -> None:
    async with gateway(tmp_path, max_running=1) as served:
        served.backend.thoughts = ("Well. ",)
        one = await served.stub.Generate(request("open", seed=7))
        asked = request("open", seed=2**63 - 2, n=3, json_schema={"type": "object"})
        answer = await served.stub.Generate(asked)
        texts = [answer.text, *(choice.text for choice in answer.more_choices)]
        assert texts == ["one two three"] * 3
        assert [choice.reasoning for choice in answer.more_choices] == ["Well. "] * 2
        assert {choice.finish_reason for choice in answer.more_choices} == {receipt_pb2.FINISH_REASON_STOP}
        engine = served.backend.requests[1:]
        assert [one.sampling.seed for one in engine] == [2**63 - 2, 2**63 - 1, 0]
        assert len({one.request_id for one in engine}) == 3
        assert len({one.token_ids for one in engine}) == 1
        told, alone = answer.receipt, one.receipt
        assert told.input_tokens == 3 * alone.input_tokens
        assert told.output_tokens == 3 * alone.output_tokens == 12
        assert told.reasoning_tokens == 3
        assert alone.cached_tokens * 3 < told.cached_tokens < told.input_tokens, "the prompt is computed once"
        assert told.HasField("format_valid")
        assert not told.format_valid
        assert served.metric("requests_total", route="open", variant="rag", code="OK") == 2
        assert not (await served.stub.Generate(request("open"))).more_choices


async def test_a_stream_tells_of_which_answer_each_piece_is(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        served.backend.interval = 0.01
        events = [event async for event in served.stub.GenerateStream(request("open", n=2, top_logprobs=0))]
        deltas, final = [event.delta for event in events[:-1]], events[-1].final
        for number, text in enumerate([final.text, final.more_choices[0].text]):
            own = [delta for delta in deltas if delta.choice == number]
            assert "".join(delta.text for delta in own) == text == "one two three"
            assert [one.written.token for delta in own for one in delta.logprobs] == served.backend.script
        numbers = [delta.choice for delta in deltas]
        assert numbers != sorted(numbers), "they are made at the same time"
        assert not final.more_choices[0].logprobs


async def test_how_many_there_may_be(tmp_path: Path) -> None:
    cases = (("plain", 2, "does not allow"), ("open", 9, "1 to 8"), ("open", 0, "1 to 8"), ("open", -1, "1 to 8"))
    async with gateway(tmp_path) as served:
        for route, count, told in cases:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await served.stub.Generate(request(route, n=count))
            assert told in failure(error.value).fields["n"]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.stub.Generate(request("open", n=8, top_logprobs=20, max_tokens=300))
        assert "50,400 for 8 answers" in failure(error.value).fields["top_logprobs"]
        assert not served.backend.requests
        await served.stub.Generate(request("plain", n=1))


async def ended(served: Gateway) -> None:
    await asyncio.to_thread(until, lambda: served.backend.in_flight == 0, 5)


async def test_a_client_that_leaves_ends_all_of_them(tmp_path: Path) -> None:
    slow = ScriptedBackend(["word "] * 500, interval=0.01)
    async with gateway(tmp_path, backend=slow) as served:
        call = served.stub.GenerateStream(request("open", n=4))
        begun: set[int] = set()
        while len(begun) < 4:
            message = await call.read()
            if message.HasField("delta"):
                begun.add(message.delta.choice)
        assert slow.in_flight == 4
        call.cancel()
        await ended(served)
        assert slow.aborted == 4
        (receipt,) = served.counted
        assert (receipt.code, receipt.finish_reason and receipt.finish_reason.value) == ("CANCELLED", "cancelled")
        assert (receipt.output_tokens or 0) >= 4


async def test_what_fails_of_one_fails_all(tmp_path: Path) -> None:
    slow = ScriptedBackend(["word "] * 500, interval=0.01)
    async with gateway(tmp_path, backend=slow) as served:
        call = served.stub.GenerateStream(request("open", n=3))
        await call.read()
        slow.ready = False
        with pytest.raises(grpc.aio.AioRpcError) as error:
            while await call.read() is not grpc.aio.EOF:
                pass
        assert failure(error.value).code == "UNAVAILABLE"
        await ended(served)


async def test_all_of_them_are_set_aside_before_they_begin(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        worst = []
        for count in (1, 8):
            asked = request("open", n=count, max_tokens=8)
            call = generate_call(asked, request_id="r", caller=PUBLIC, arrived=0, deadline=None, priority=5)
            worst.append(served.generation._worst_case.of(call, served.table.routes["open"]))
        answer = await served.stub.Generate(request("open", n=8, max_tokens=8))
        one, eight = worst
        assert (eight.requests, eight.tokens) == (1, 8 * one.tokens)
        assert eight.nano_usd > 7 * one.nano_usd
        assert answer.receipt.input_tokens + answer.receipt.output_tokens <= eight.tokens
        assert answer.receipt.cost.total <= eight.nano_usd


async def test_the_first_that_fails_ends_the_others() -> None:
    ends: list[str] = []

    async def fails() -> None:
        raise KeyError("first")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")
            raise ValueError("second")

    with pytest.raises(KeyError, match="first"):
        await all_of([waits(), fails(), waits()])
    assert ends == ["cancelled"] * 2
