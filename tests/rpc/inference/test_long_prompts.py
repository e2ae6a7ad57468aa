"""Large requests over a real channel: refused before they cost anything, or worked on beside the event loop."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request
from trivet.api.v1 import inference_pb2, receipt_pb2
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.tokenizer.text_tokenizer import TextTokenizer

MIB = 1 << 20


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, max_message_bytes=8 * MIB) as running:
        yield running


async def fails(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return failure(error.value)


async def test_a_conversation_that_no_context_holds_is_refused_before_it_waits_or_is_tokenized(
    served: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextTokenizer, "_encode", None)
    async with AsyncExitStack() as busy:
        for _ in range(4):
            await busy.enter_async_context(served.admission.enter(tokens=1))
        said = await fails(served.stub.Generate(request(text="word " * 1_500_000)))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "PROMPT_TOO_LONG")
    assert "more than 204,800 bytes" in said.message
    assert said.receipt is not None
    assert (said.receipt.code, said.receipt.HasField("queue_ms")) == ("INVALID_ARGUMENT", False)
    assert served.backend.requests == []


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that prompts are assembled in."""
    names: list[str] = []
    assemble: Callable[..., Any] = PromptAssembler.assemble

    def watched(*args: Any, **fields: Any) -> Any:
        names.append(threading.current_thread().name)
        return assemble(*args, **fields)

    monkeypatch.setattr(PromptAssembler, "assemble", watched)
    return names


def turns(count: int) -> inference_pb2.GenerateRequest:
    roles = ["user" if number % 2 == 0 else "assistant" for number in range(count)]
    messages = [inference_pb2.Message(role=role, content="x") for role in roles]
    return inference_pb2.GenerateRequest(route="plain", messages=messages)


@pytest.mark.parametrize(
    ("asked", "beside"),
    [
        (request(text="word " * 100), False),
        (request(text="word " * 2000), True),
        (turns(15), False),
        (turns(17), True),
    ],
    ids=["short", "long", "few turns", "many turns"],
)
async def test_what_takes_long_is_assembled_beside_the_event_loop(
    served: Gateway, threads: list[str], asked: inference_pb2.GenerateRequest, beside: bool
) -> None:
    served.backend.context_tokens = 100_000
    assert (await served.stub.Generate(asked)).text == "one two three"
    assert [name != threading.main_thread().name for name in threads] == [beside]


async def used(served: Gateway, **fields: Any) -> receipt_pb2.Receipt:
    receipt: receipt_pb2.Receipt = (await served.stub.Generate(request(**fields))).receipt
    return receipt


async def test_more_tokens_of_answer_than_there_is_room_for_are_cut_and_the_receipt_says_so(served: Gateway) -> None:
    served.backend.script = ["word "] * 3000
    answer = await served.stub.Generate(request(max_tokens=2**31 - 1))
    assert list(answer.receipt.degraded) == ["max_tokens_cut"]
    assert answer.finish_reason == receipt_pb2.FINISH_REASON_LENGTH
    assert answer.receipt.input_tokens + answer.receipt.output_tokens == 2048 == served.backend.context_tokens
    assert served.metric("degraded_total", route="plain", reason="max_tokens_cut") == 1


async def test_what_there_is_room_for_is_not_cut(served: Gateway) -> None:
    tokens = (await used(served)).input_tokens
    for wanted, cut in ((2048 - tokens, []), (2049 - tokens, ["max_tokens_cut"]), (1, []), (1024, [])):
        assert list((await used(served, max_tokens=wanted)).degraded) == cut
        assert served.backend.requests[-1].sampling.max_tokens == min(wanted, 2048 - tokens)


async def test_a_request_for_more_drops_no_passage_that_the_variants_own_length_would_keep(served: Gateway) -> None:
    passages = (await served.stub.Generate(request("rag"))).receipt.passage_ids
    asked = await served.stub.Generate(request("rag", max_tokens=100_000))
    assert asked.receipt.passage_ids == passages
    assert list(asked.receipt.degraded) == ["max_tokens_cut"]


async def test_a_request_for_less_makes_room_for_a_longer_prompt_and_one_for_more_takes_none(served: Gateway) -> None:
    text = "word " * 250  # more tokens than the 1,024 that the variant's own length leaves
    for wanted in (None, 100_000):
        fields: dict[str, Any] = {} if wanted is None else {"max_tokens": wanted}
        said = await fails(served.stub.Generate(request(text=text, **fields)))
        assert said.reason == "PROMPT_TOO_LONG"
        assert "2,048 of context less 1,024 for the answer" in said.message
    assert list((await used(served, text=text, max_tokens=100)).degraded) == []


async def test_what_cannot_fit_is_refused_before_its_search(served: Gateway) -> None:
    for text in ("word " * 250, "word " * 4000):  # a little over, and much
        said = await fails(served.stub.Generate(request("rag", text=text)))
        assert said.reason == "PROMPT_TOO_LONG"
        assert "2,048 of context less 1,024 for the answer" in said.message
        assert said.receipt is not None
        assert not said.receipt.HasField("retrieval_ms")
    assert served.retriever.queries == []


async def test_what_the_prompt_does_not_take_is_refused_before_its_search(served: Gateway) -> None:
    asked = request("rag")
    asked.variables["unknown"] = "x"
    assert (await fails(served.stub.Generate(asked))).reason == "INVALID_REQUEST"
    assert served.retriever.queries == []
