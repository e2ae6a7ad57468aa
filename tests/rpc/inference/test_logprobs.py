"""Log probabilities of an answer's tokens, over a real channel, on a scripted engine."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.support.gateway.harness import failure, gateway, request


async def test_each_token_has_its_own_and_the_most_likely_ones(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        served.backend.thoughts = ("Well. ",)
        asked = request("open", top_logprobs=2)
        answer = await served.stub.Generate(asked)
        words = ["Well. ", *served.backend.script]
        assert [token.written.token for token in answer.logprobs] == words
        assert [one.logprob for one in answer.logprobs[0].top] == [-1.0, -2.0]
        assert answer.receipt.output_tokens == len(words)
        events = [event async for event in served.stub.GenerateStream(asked)]
        streamed = [token for event in events[:-1] for token in event.delta.logprobs]
        assert streamed == list(answer.logprobs)
        assert not events[-1].final.logprobs
        assert events[0].delta.logprobs
        bare = await served.stub.Generate(request("open", top_logprobs=0))
        assert [len(token.top) for token in bare.logprobs] == [0] * len(words)
        assert not (await served.stub.Generate(request("open"))).logprobs


async def test_an_answer_has_a_bounded_number_of_them(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        served.backend.context_tokens = 8192
        await served.stub.Generate(request("open", top_logprobs=20, max_tokens=2300))
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.stub.Generate(request("open", top_logprobs=20, max_tokens=2400))
        assert "50,400 for an answer of 2,400 tokens" in failure(error.value).fields["top_logprobs"]
        assert len(served.backend.requests) == 1
