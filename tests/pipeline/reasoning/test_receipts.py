"""A variant that answers several times: one answer to the client, one receipt over all of them, one budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.gateway.harness import Gateway, gateway, request, variant
from trivet.api.v1 import inference_pb2
from trivet.types.variant import AgreeOn, Reasoning, Route, Sampling, SelfConsistency, ThoughtMarks

VOTING = replace(
    variant("v"),
    sampling=Sampling(max_tokens=64, temperature=0.7),
    reasoning=Reasoning(SelfConsistency(5, AgreeOn.TEXT), ThoughtMarks("<one>", "</one>")),
)
ROUTE = Route("voting", {"v": VOTING}, {"v": 1}, "voting")


async def test_one_receipt_has_the_tokens_and_the_cost_of_all(tmp_path: Path) -> None:
    async with gateway(tmp_path, more_routes=(ROUTE,)) as one:
        plain = await one.stub.Generate(request("plain"))
        answer = await one.stub.Generate(request("voting"))
        assert answer.text == plain.text
        receipt, alone = answer.receipt, plain.receipt
        assert (receipt.samples, receipt.agreement) == (5, 1.0)
        assert not alone.HasField("samples")
        assert not alone.HasField("agreement")
        assert receipt.input_tokens == 5 * alone.input_tokens
        assert receipt.output_tokens == 5 * alone.output_tokens
        assert receipt.cost.output == 5 * alone.cost.output
        assert receipt.cost.total == receipt.cost.input + receipt.cost.cached + receipt.cost.output
        assert receipt.HasField("ttft_ms")
        assert len(one.backend.requests) == 6
        assert tokens(one, "output") == receipt.output_tokens


def tokens(one: Gateway, kind: str) -> float:
    return one.metric("tokens_total", route="voting", variant="v", kind=kind)


async def test_a_stream_has_the_whole_answer_at_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, more_routes=(ROUTE,)) as one:
        events = [event async for event in one.stub.GenerateStream(request("voting"))]
        assert [event.delta.text for event in events[:-1]] == ["one two three"]
        assert events[-1].final.receipt.samples == 5


async def test_thoughts_are_apart_from_the_text(tmp_path: Path) -> None:
    words = ("<one>", " because", "</one>", " two")
    thinking = replace(VOTING, reasoning=replace(VOTING.reasoning, several=None))  # type: ignore[type-var]
    route = Route("thinking", {"v": thinking}, {"v": 1}, "thinking")
    async with gateway(tmp_path, more_routes=(route,)) as one:
        one.backend.script = list(words)
        events = [event async for event in one.stub.GenerateStream(request("thinking"))]
        final: inference_pb2.GenerateResponse = events[-1].final
        assert (final.text, final.reasoning.strip()) == ("two", "because")
        assert "".join(event.delta.text for event in events[:-1]) == "two"
        assert final.receipt.output_tokens == len(words)
