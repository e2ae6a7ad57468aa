"""`POST /v1/responses`: the generation pipeline, asked in the form of OpenAI's Responses API."""

from __future__ import annotations

from functools import partial

from trivet.api.v1 import inference_pb2
from trivet.http.answer_stream import respond
from trivet.http.exchange import Exchange
from trivet.http.responses.request import ResponseRequest
from trivet.http.responses.response import ResponseEvents
from trivet.pipeline.generation import GenerationPipeline
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.bounds import check_bounds


class Responses:
    """Answers with one JSON object, or with server-sent events. Nothing is kept of either."""

    def __init__(self, generation: GenerationPipeline, intake: RequestIntake) -> None:
        self._generation = generation
        self._intake = intake

    async def __call__(self, exchange: Exchange) -> None:
        """One request."""
        asked, message = await self._read(exchange)
        call = await self._intake.generate_call(message, exchange.call, asked.schema_asked)
        events = ResponseEvents(exchange.call.request_id, asked)
        await respond(self._generation, call, exchange, events, stream=bool(asked.stream))

    async def _read(self, exchange: Exchange) -> tuple[ResponseRequest, inference_pb2.GenerateRequest]:
        """The body, and the same as the contract's message, within its bounds."""
        tenant, route = self._intake.tenant(exchange.call), ""  # before anything of the body is looked at
        try:
            asked = await exchange.body(ResponseRequest)
            route = asked.model.partition(":")[0]
            asked.check()
            conversation = asked.conversation_asked()
            exchange.names = {**conversation.names, **exchange.names}
            message = await exchange.made(partial(asked.message, conversation))
            check_bounds(message)
        except BaseException as error:
            self._intake.refused(exchange.call, tenant, route, error)
            raise
        return asked, message
