"""What receipts charge is what the engine computed, by its own counters. On the shared engine."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests.support.engine.fixtures import SESSION_ENGINE, idle
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.backends.grammars.trials import _key
from trivet.backends.grammars.verdict import Outcome, Verdict
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.errors import DeadlineExceeded, GenerationFailed, TrivetError
from trivet.metering.account import Account
from trivet.metering.metrics import Metrics
from trivet.metering.prices import Price
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.sink import Sink
from trivet.pipeline.admission import Admission
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.response_sink import ResponseSink
from trivet.pipeline.stream import AnswerStream
from trivet.routing.table import Resolution
from trivet.rpc.status import code_name_of
from trivet.types.generation import FinishReason
from trivet.types.prompt import AssembledPrompt
from trivet.types.receipt import Receipt, UnitSource
from trivet.types.request import GenerateCall, Message
from trivet.types.variant import Route, Variant, VersionRef

pytestmark = SESSION_ENGINE
VARIANT = Variant("plain", "tiny", VersionRef("p", "1"))
ROUTE = Route("r", {"plain": VARIANT}, {"plain": 1.0}, "salt")
PRICE = Price(1.0, 0.1, 2.0)


class Silent:
    """Reads nothing."""

    async def delta(self, text: str, choice: int) -> None:
        """Takes it."""

    async def reasoning(self, text: str, choice: int) -> None:
        raise AssertionError("nothing is thought here")

    async def tool_calls(self, deltas: Any, choice: int) -> None:
        pass

    async def logprobs(self, tokens: Any, choice: int) -> None:
        pass

    def closed(self, receipt: Receipt) -> None:
        """Not called here."""


SILENT = Silent()


class Stalled(Silent):
    """Takes its first piece for ever."""

    async def delta(self, text: str, choice: int) -> None:
        """What comes meanwhile is fetched by nobody."""
        await asyncio.Event().wait()

    async def reasoning(self, text: str, choice: int) -> None:
        raise AssertionError("nothing is thought here")

    async def tool_calls(self, deltas: Any, choice: int) -> None:
        pass

    async def logprobs(self, tokens: Any, choice: int) -> None:
        pass


class Desk:
    """Answers requests on one engine as the pipeline does, from the assembled prompt on."""

    def __init__(self, engine: EmbeddedVllm, folder: Path) -> None:
        self.registry = CollectorRegistry()
        self.receipts: list[Receipt] = []
        self._slots = AdapterSlots(slots=2, quantum=0.1, on_wait=lambda _: None)
        self._stream = AnswerStream({"tiny": engine}, {"tiny": self._slots}, PrefixCacheLedger())
        self._admission = Admission(max_running=64, max_queued=64, max_queued_tokens=1 << 20)
        self._log = ReceiptLog(folder / "receipts.jsonl")
        self._sink = Sink(Metrics(self.registry), self._log, lambda: ["r"])

    async def ask(
        self, number: int, tokens: int, timeout: float | None = None, reader: ResponseSink = SILENT, **fields: Any
    ) -> None:
        """One request of that many prompt tokens, to its receipt."""
        loop = asyncio.get_running_loop()
        call = GenerateCall(f"q{number}", "t", "r", (Message("user", "x"),), arrived=loop.time(), **fields)
        account = Account(call)
        account.resolve(VARIANT, 0, UnitSource.RANDOM)
        draws = random.Random(number)
        prompt = AssembledPrompt(tuple(draws.randrange(5, 200) for _ in range(tokens)), 0, "")
        resolution = Resolution(ROUTE, VARIANT, "u", UnitSource.RANDOM)
        code = "OK"
        try:
            async with asyncio.timeout(timeout), self._admission.enter(tokens=tokens) as place:
                await self._stream.run(call, resolution, prompt, None, place, account, reader)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except TimeoutError as problem:
            code = "DEADLINE_EXCEEDED"
            raise DeadlineExceeded("late") from problem
        except TrivetError as problem:
            code = code_name_of(problem)
            raise
        finally:
            receipt = account.close(code=code, now=loop.time(), price=PRICE)
            self.receipts.append(receipt)
            self._sink.record(receipt)


def counted(engine: EmbeddedVllm) -> dict[str, float]:
    labels = {"engine": "0", "model_name": "tiny"}
    names = ("prompt_tokens", "prompt_tokens_cached", "generation_tokens")
    values = {name: engine.metrics.registry.get_sample_value(f"vllm:{name}_total", labels) for name in names}
    assert None not in values.values()
    return {name: value or 0.0 for name, value in values.items()}


async def test_receipts_charge_what_the_engine_counted(tiny_engine: EmbeddedVllm, tmp_path: Path) -> None:
    """Requests that end well, are cancelled at any moment, expire, or are refused."""
    desk = Desk(tiny_engine, tmp_path)
    before = counted(tiny_engine)
    tasks = [asyncio.create_task(desk.ask(number, 100 + number, max_tokens=20)) for number in range(8)]
    cancelled = [asyncio.create_task(desk.ask(100 + number, 700, max_tokens=200)) for number in range(24)]
    expired = [
        asyncio.create_task(desk.ask(200 + number, 600, timeout=0.01 * number, max_tokens=200)) for number in range(12)
    ]
    several: dict[str, Any] = {"n": 3, "seed": 5, "temperature": 1.0, "max_tokens": 12}
    tasks += [asyncio.create_task(desk.ask(500 + number, 150, **several)) for number in range(3)]
    cancelled += [
        asyncio.create_task(desk.ask(600 + number, 400, **{**several, "max_tokens": 200})) for number in (0, 1)
    ]
    refused = [
        asyncio.create_task(desk.ask(300, 300, json_schema={"$ref": "#"})),
        asyncio.create_task(desk.ask(301, 2000)),
    ]
    stalled = [asyncio.create_task(desk.ask(400 + number, 50, reader=Stalled(), max_tokens=60)) for number in range(4)]
    for turn, task in enumerate(cancelled):
        await asyncio.sleep(0 if turn % 3 else 0.01)
        task.cancel()
    results = await asyncio.gather(*tasks, *cancelled, *expired, *refused, return_exceptions=True)
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 26
    assert await _done(tiny_engine)  # the stalled ones too, in the engine
    for task in stalled:
        task.cancel()
    await asyncio.wait(stalled)
    assert await idle(tiny_engine, 10)
    engine = {name: value - before[name] for name, value in counted(tiny_engine).items()}
    known = [receipt for receipt in desk.receipts if receipt.input_tokens is not None]
    assert 11 <= len(known) < len(desk.receipts) == 55
    assert sum(receipt.input_tokens or 0 for receipt in known) == engine["prompt_tokens"]
    assert sum(receipt.cached_tokens or 0 for receipt in known) == engine["prompt_tokens_cached"]
    assert sum(receipt.output_tokens or 0 for receipt in desk.receipts) == engine["generation_tokens"]
    uncached = desk.registry.get_sample_value(
        "trivet_tokens_total", {"route": "r", "variant": "plain", "kind": "input_uncached"}
    )
    assert uncached == engine["prompt_tokens"] - engine["prompt_tokens_cached"]


PARTS = ("queue_ms", "retrieval_ms", "adapter_wait_ms", "engine_queue_ms", "prefill_ms", "decode_ms", "gateway_ms")


async def test_the_engines_own_times_and_the_gateways_add_up_to_the_total(
    tiny_engine: EmbeddedVllm, tmp_path: Path
) -> None:
    """Of answers, and of what was cut short after its first token; without one, the engine's parts are absent."""
    desk = Desk(tiny_engine, tmp_path)
    before = engine_seconds(tiny_engine)
    # More at once than the engine runs, so that some wait in its queue.
    answered = [asyncio.create_task(desk.ask(number, 200, max_tokens=5 + number)) for number in range(40)]
    await asyncio.wait(answered)
    whole = list(desk.receipts)
    for part, engine_sum in engine_seconds(tiny_engine).items():
        told = sum(getattr(receipt, part) or 0.0 for receipt in whole) / 1000
        more = told - (engine_sum - before[part])
        if part == "engine_queue_ms":  # from the hand-over on: the engine ends its step before it counts a request
            assert more > 0
        else:
            assert abs(more) < 1e-3, part
    assert max(receipt.engine_queue_ms or 0.0 for receipt in whole) > 1.0
    cut = [
        asyncio.create_task(desk.ask(100 + number, 400, timeout=0.03 * number, max_tokens=300)) for number in range(20)
    ]
    await asyncio.gather(*cut, return_exceptions=True)
    late = [receipt for receipt in desk.receipts if receipt.code != "OK" and receipt.engine_queue_ms is not None]
    assert late
    for receipt in (*whole, *late):
        assert abs(sum(getattr(receipt, part) or 0.0 for part in PARTS) - (receipt.total_ms or 0.0)) < 1.0
    for receipt in desk.receipts:
        assert (receipt.engine_queue_ms is None) == (receipt.preemptions is None) == (receipt.ttft_ms is None)
    assert await idle(tiny_engine, 10)


def engine_seconds(engine: EmbeddedVllm) -> dict[str, float]:
    """What vLLM has observed of requests that ended well, by the receipt's field."""
    labels = {"engine": "0", "model_name": "tiny"}
    names = {"engine_queue_ms": "queue", "prefill_ms": "prefill", "decode_ms": "decode"}
    registry = engine.metrics.registry
    return {
        field: registry.get_sample_value(f"vllm:request_{name}_time_seconds_sum", labels) or 0.0
        for field, name in names.items()
    }


async def _done(engine: EmbeddedVllm) -> bool:
    for _ in range(1000):
        if not (await engine.stats()).busy:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_input_that_was_not_computed_is_absent_and_costs_nothing(
    tiny_engine: EmbeddedVllm, tmp_path: Path
) -> None:
    desk = Desk(tiny_engine, tmp_path)
    task = asyncio.create_task(desk.ask(1, 500))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    refused = asyncio.create_task(desk.ask(2, 500, json_schema={"not": {}}))
    await asyncio.wait({refused})
    for receipt in desk.receipts:
        assert (receipt.input_tokens, receipt.cached_tokens, receipt.expected_cached_tokens) == (None, None, None)
        assert (receipt.cost.input, receipt.cost.cached) == (None, None)
        assert not receipt.cost.total


async def test_an_answer_that_the_engine_gives_up_is_an_error(tiny_engine: EmbeddedVllm, tmp_path: Path) -> None:
    """The engine's own grammar failure, past every check of ours."""
    assert tiny_engine._life.companions is not None
    tiny_engine._life.companions.trials._known("t").add(_key({"$ref": "#"}), Verdict(Outcome.ACCEPTED), '{"$ref":"#"}')
    desk = Desk(tiny_engine, tmp_path)
    task = asyncio.create_task(desk.ask(1, 50, json_schema={"$ref": "#"}))
    await asyncio.wait({task})
    assert isinstance(task.exception(), GenerationFailed)
    (receipt,) = desk.receipts
    assert (receipt.code, receipt.finish_reason) == ("INTERNAL", FinishReason.ERROR)
    assert await idle(tiny_engine)
