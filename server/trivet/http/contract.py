"""The contract's own calls as JSON: search, feedback, receipts. Bodies are the messages of `trivet.api.v1` in their
JSON form (https://protobuf.dev/programming-guides/json), with the fields' own names."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import RootModel

from trivet.api.v1 import inference_pb2
from trivet.errors import InvalidRequest, NotFound
from trivet.excerpt import quote, shortened
from trivet.http.exchange import Exchange
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.receipt_log import ReceiptLog
from trivet.pipeline.search import SearchPipeline
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.bounds import DEEPEST, check_bounds
from trivet.rpc.request.calls import feedback_of
from trivet.rpc.wire import receipt_to_proto, search_to_proto

_MOST_SAID = 300  # characters of the parser's own words
_Request = TypeVar("_Request", bound=Message)


class JsonObject(RootModel[dict[str, Any]]):
    """A body that is a JSON object."""


class ContractCalls:
    """One endpoint for each."""

    def __init__(
        self, search: SearchPipeline, feedback: FeedbackIntake, receipts: ReceiptLog, intake: RequestIntake
    ) -> None:
        self._search = search
        self._feedback = feedback
        self._receipts = receipts
        self._intake = intake

    async def retrieve(self, exchange: Exchange) -> None:
        """`POST /v1/retrieve`."""
        self._intake.tenant(exchange.call)
        request = await read_message(exchange, inference_pb2.RetrieveRequest())
        found = await self._search.search(self._intake.retrieve_call(request, exchange.call))
        await answer_message(exchange, search_to_proto(found))

    async def submit_feedback(self, exchange: Exchange) -> None:
        """`POST /v1/feedback`."""
        tenant = self._intake.tenant(exchange.call)
        request = await read_message(exchange, inference_pb2.SubmitFeedbackRequest())
        await self._feedback.submit(feedback_of(request, tenant))
        await answer_message(exchange, inference_pb2.SubmitFeedbackResponse())

    async def receipt(self, exchange: Exchange) -> None:
        """`GET /v1/receipts/{request_id}`."""
        tenant = self._intake.tenant(exchange.call)
        request_id = str(exchange.request.path_params["request_id"])
        check_bounds(inference_pb2.GetReceiptRequest(request_id=request_id))
        found = await self._receipts.recall(tenant, request_id)
        if found is None:
            raise NotFound(f"no receipt of request {quote(request_id)} among the latest")
        await answer_message(exchange, inference_pb2.GetReceiptResponse(receipt=receipt_to_proto(found)))


async def read_message(exchange: Exchange, empty: _Request) -> _Request:
    """The body as this message, within its bounds; InvalidRequest."""
    body = (await exchange.body(JsonObject)).root
    await exchange.made(partial(fill_message, body, empty))
    check_bounds(empty)
    return empty


def fill_message(body: dict[str, Any], empty: Message) -> None:
    """Fill a message from its JSON form; InvalidRequest for what is none."""
    try:
        json_format.ParseDict(body, empty, max_recursion_depth=DEEPEST)
    except (json_format.ParseError, ValueError, OverflowError) as error:
        raise InvalidRequest({"body": shortened(str(error), _MOST_SAID)}) from None


async def answer_message(exchange: Exchange, message: Message) -> None:
    """Answer with this message's JSON form."""
    told = json_format.MessageToDict(message, preserving_proto_field_name=True)
    await exchange.respond(json.dumps(told, ensure_ascii=False).encode())
