"""`POST /v1/chat/completions`: the generation pipeline, asked in OpenAI's form."""

from __future__ import annotations

import logging

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems, TrivetError
from trivet.http.chat.request import RENAMED, ChatCompletionRequest
from trivet.http.chat.response import Completion
from trivet.http.exchange import Exchange
from trivet.http.failure import failure_of
from trivet.pipeline.generation import GenerationPipeline
from trivet.rpc.bounds import check_bounds
from trivet.rpc.intake import RequestIntake
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall

logger = logging.getLogger(__name__)


class WholeSink:
    """Reads nothing on the way: the whole answer is the response."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def delta(self, text: str) -> None:
        """The text is kept by the pipeline."""

    async def reasoning(self, text: str) -> None:
        """Kept by the pipeline as well."""

    def closed(self, receipt: Receipt) -> None:
        """Keep the receipt for the headers, and for the error of a failed request."""
        self._exchange.call.close(receipt)


class EventSink(WholeSink):
    """Writes each piece to the client as it comes, and gives up on one that does not read."""

    def __init__(self, exchange: Exchange, completion: Completion) -> None:
        super().__init__(exchange)
        self._completion = completion

    async def delta(self, text: str) -> None:
        """The response begins with the first piece, so that what fails before it has a status of its own."""
        await self._write(self._completion.piece(text))

    async def reasoning(self, text: str) -> None:
        """The same."""
        await self._write(self._completion.thought(text))

    async def _write(self, piece: bytes) -> None:
        if not self._exchange.begun:
            await self._exchange.begin("text/event-stream; charset=utf-8")
            piece = self._completion.begin() + piece
        await self._exchange.write(piece)


class ChatCompletions:
    """Answers with one JSON object, or with server-sent events."""

    def __init__(self, generation: GenerationPipeline, intake: RequestIntake) -> None:
        self._generation = generation
        self._intake = intake

    async def __call__(self, exchange: Exchange) -> None:
        """One request."""
        asked, message = await self._read(exchange)
        call = await self._intake.generate_call(message, exchange.call, asked.schema_asked)
        completion = Completion(exchange.call.request_id, asked.model)
        if not asked.stream:
            answer = await self._generation.generate(call, WholeSink(exchange))
            await exchange.respond(completion.whole(answer))
            return
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        await self._stream(call, exchange, completion, with_usage)

    async def _stream(self, call: GenerateCall, exchange: Exchange, completion: Completion, with_usage: bool) -> None:
        try:
            answer = await self._generation.generate(call, EventSink(exchange, completion))
            if not exchange.begun:  # an answer without any text
                await exchange.begin("text/event-stream; charset=utf-8")
                await exchange.write(completion.begin())
            await exchange.write(completion.end(answer, with_usage), last=True)
        except Exception as error:
            if not exchange.begun:
                raise
            if not isinstance(error, TrivetError):
                logger.exception("request %s failed", call.request_id)
            failure = failure_of(error, call.request_id, exchange.call.receipt, RENAMED)
            await exchange.write(completion.failed(failure.body), last=True)

    async def _read(self, exchange: Exchange) -> tuple[ChatCompletionRequest, inference_pb2.GenerateRequest]:
        """The body, and the same as the contract's message, within its bounds."""
        tenant, route = self._intake.tenant(exchange.call), ""  # before anything of the body is looked at
        try:
            asked = await exchange.body(ChatCompletionRequest)
            route = asked.model
            _check_form(asked)
            message = asked.message()
            check_bounds(message)
        except BaseException as error:
            self._intake.refused(exchange.call, tenant, route, error)
            raise
        return asked, message


def _check_form(asked: ChatCompletionRequest) -> None:
    problems = Problems()
    format_ = asked.response_format
    if format_ is not None:
        with_schema = (format_.type == "json_schema") == (format_.json_schema is not None)
        problems.expect(with_schema, "response_format.json_schema", "expected with type json_schema, and only there")
    streams = asked.stream_options is None or bool(asked.stream)
    problems.expect(streams, "stream_options", "expected only with stream: true")
    problems.refuse()
