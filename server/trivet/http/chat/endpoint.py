"""`POST /v1/chat/completions`: the generation pipeline, asked in OpenAI's form."""

from __future__ import annotations

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.http.answer_stream import respond
from trivet.http.chat.request import ChatCompletionRequest
from trivet.http.chat.response import Completion
from trivet.http.exchange import Exchange
from trivet.pipeline.generation import GenerationPipeline
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.bounds import check_bounds


class ChatCompletions:
    """Answers with one JSON object, or with server-sent events."""

    def __init__(self, generation: GenerationPipeline, intake: RequestIntake) -> None:
        self._generation = generation
        self._intake = intake

    async def __call__(self, exchange: Exchange) -> None:
        """One request."""
        asked, message = await self._read(exchange)
        call = await self._intake.generate_call(message, exchange.call, asked.schema_asked)
        with_usage = asked.stream_options is not None and asked.stream_options.include_usage
        completion = Completion(exchange.call.request_id, asked.model, with_usage, call.n)
        await respond(self._generation, call, exchange, completion, stream=bool(asked.stream))

    async def _read(self, exchange: Exchange) -> tuple[ChatCompletionRequest, inference_pb2.GenerateRequest]:
        """The body, and the same as the contract's message, within its bounds."""
        tenant, route = self._intake.tenant(exchange.call), ""  # before anything of the body is looked at
        try:
            asked = await exchange.body(ChatCompletionRequest)
            route = asked.model.partition(":")[0]
            _check_form(asked)
            message = await exchange.made(asked.message)
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
    wanted = asked.top_logprobs is None or bool(asked.logprobs)
    problems.expect(wanted, "top_logprobs", "expected only with logprobs: true")
    problems.refuse()
