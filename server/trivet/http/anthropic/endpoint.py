"""`POST /v1/messages`: the generation pipeline, asked in Anthropic's form."""

from __future__ import annotations

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.http.answer_stream import respond
from trivet.http.anthropic.request import MessageRequest
from trivet.http.anthropic.response import MessageEvents
from trivet.http.exchange import Exchange
from trivet.pipeline.generation import GenerationPipeline
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.bounds import check_bounds


class Messages:
    """Answers with one JSON object, or with server-sent events."""

    def __init__(self, generation: GenerationPipeline, intake: RequestIntake) -> None:
        self._generation = generation
        self._intake = intake

    async def __call__(self, exchange: Exchange) -> None:
        """One request."""
        asked, message = await self._read(exchange)
        call = await self._intake.generate_call(message, exchange.call)
        events = MessageEvents(exchange.call.request_id, asked.model)
        await respond(self._generation, call, exchange, events, stream=asked.stream)

    async def _read(self, exchange: Exchange) -> tuple[MessageRequest, inference_pb2.GenerateRequest]:
        """The body, and the same as the contract's message, within its bounds."""
        tenant, route = self._intake.tenant(exchange.call), ""  # before anything of the body is looked at
        try:
            asked = await exchange.body(MessageRequest)
            route = asked.model
            _check_form(asked)
            message = await exchange.made(asked.message)
            check_bounds(message)
        except BaseException as error:
            self._intake.refused(exchange.call, tenant, route, error)
            raise
        return asked, message


def _check_form(asked: MessageRequest) -> None:
    problems, choice = Problems(), asked.tool_choice
    named = choice is not None and choice.type == "tool"
    problems.expect(choice is None or bool(choice.name) == named, "tool_choice.name", "expected with type tool alone")
    problems.refuse()
