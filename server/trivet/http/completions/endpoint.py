"""`POST /v1/completions`: the generation pipeline, asked to continue texts. Each text is a request of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.http.answer_stream import EventSink, EventStream
from trivet.http.completions.request import CompletionRequest
from trivet.http.completions.response import Continuations
from trivet.http.exchange import Exchange
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.response_sink import WholeSink
from trivet.pipeline.stream import all_of
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.bounds import REQUEST_ID, check_bounds
from trivet.types.answer import Answer
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall


@dataclass(slots=True)
class PartCall:
    """One text's request: as the exchange's own, with a name of its own beyond the first."""

    exchange: Exchange
    request_id: str
    arrived: float
    deadline: float | None

    @classmethod
    def of(cls, exchange: Exchange, number: int) -> PartCall:
        """Of text `number`."""
        call, ending = exchange.call, f"-{number}" if number else ""
        name = call.request_id[: (REQUEST_ID.size or 0) - len(ending)] + ending
        return cls(exchange, name, call.arrived, call.deadline)

    def metadata(self, name: str) -> str | None:
        """The exchange's."""
        return self.exchange.call.metadata(name)

    def close(self, receipt: Receipt) -> None:
        """The exchange keeps the first of the receipts, or that of the first text that failed."""
        kept = self.exchange.call.receipt
        if kept is None or (kept.code == "OK" and receipt.code != "OK"):
            self.exchange.call.close(receipt)


class Completions:
    """Answers with one JSON object, or with server-sent events."""

    def __init__(self, generation: GenerationPipeline, intake: RequestIntake) -> None:
        self._generation = generation
        self._intake = intake

    async def __call__(self, exchange: Exchange) -> None:
        """One request."""
        asked, messages = await self._read(exchange)
        parts = [PartCall.of(exchange, number) for number in range(len(messages))]
        calls = [await self._intake.generate_call(message, part) for message, part in zip(messages, parts, strict=True)]
        made = Continuations(exchange.call.request_id, asked.model, calls[0].n)
        if not asked.stream:
            answers = await self._answers(calls, [WholeSink(part.close) for part in parts])
            await exchange.respond(made.whole(answers))
            return
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        stream = EventStream(exchange, lambda: b"")
        sinks = [EventSink(part, stream, made.part(number)) for number, part in enumerate(parts)]
        try:
            answers = await self._answers(calls, sinks)
            await stream.write(lambda: made.end(answers, with_usage), last=True)
        except Exception as error:
            await stream.fail(error, made.failed)

    async def _answers(self, calls: Sequence[GenerateCall], sinks: Sequence[WholeSink]) -> list[Answer]:
        """All at the same time, in their order; the first that fails ends the others."""
        found: dict[int, Answer] = {}

        async def one(number: int, call: GenerateCall, sink: WholeSink) -> None:
            found[number] = await self._generation.generate(call, sink)

        await all_of([one(number, *both) for number, both in enumerate(zip(calls, sinks, strict=True))])
        return [found[number] for number in range(len(calls))]

    async def _read(self, exchange: Exchange) -> tuple[CompletionRequest, Sequence[inference_pb2.GenerateRequest]]:
        """The body, and the same as the contract's messages, within their bounds."""
        tenant, route = self._intake.tenant(exchange.call), ""  # before anything of the body is looked at
        try:
            asked = await exchange.body(CompletionRequest)
            route = asked.model.partition(":")[0]
            problems = Problems()
            streams = asked.stream_options is None or bool(asked.stream)
            problems.expect(streams, "stream_options", "expected only with stream: true")
            for name in ("top_logprobs", "parallel_tool_calls"):
                problems.expect(getattr(asked, name) is None, name, "expected in a chat completion alone")
            problems.refuse()
            messages = await exchange.made(asked.messages)
            for message in messages:
                check_bounds(message)
        except BaseException as error:
            self._intake.refused(exchange.call, tenant, route, error)
            raise
        return asked, messages
