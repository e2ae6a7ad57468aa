"""What operators see of their tenant's interactions, and erase. Every call needs an operator key."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import inference_pb2, interaction_pb2, receipt_pb2
from trivet.errors import InvalidRequest
from trivet.interactions.archive import InteractionArchive, KeptInteraction
from trivet.metering.receipt_log.json_form import from_json
from trivet.rpc.auth import Authenticator
from trivet.rpc.call import Context, rpc_call, write_bounded
from trivet.rpc.wire import receipt_to_proto
from trivet.types.interaction import InteractionCount, InteractionFilter

erasures = logging.getLogger(f"{__name__}.erasures")
"""Who erased what."""


class InteractionCalls:
    """The interaction log's part of `trivet.api.v1.Admin`."""

    def __init__(self, interactions: InteractionArchive, keys: Authenticator, slow_reader_timeout: float) -> None:
        """`slow_reader_timeout`: seconds after which a stream that is not read ends."""
        self._interactions = interactions
        self._keys = keys
        self._slow_reader_timeout = slow_reader_timeout

    async def ExportInteractions(self, request: interaction_pb2.ExportInteractionsRequest, context: Context) -> None:
        """One by one."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            if request.limit < 0:
                raise InvalidRequest({"limit": f"expected a number from 0 on, got {request.limit}"})
            wanted = _filter(request.filter, caller.tenant)
            async with aclosing(self._interactions.read(wanted, request.limit)) as kept:
                async for one in kept:
                    message = interaction_pb2.ExportInteractionsResponse(interaction=_to_proto(one))
                    await write_bounded(context, message, self._slow_reader_timeout)

    async def CountInteractions(self, request: interaction_pb2.CountInteractionsRequest, context: Context) -> Any:
        """By route and variant."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            counts = await self._interactions.count(_filter(request.filter, caller.tenant))
            return interaction_pb2.CountInteractionsResponse(counts=map(_count_to_proto, counts))

    async def EraseInteractions(self, request: interaction_pb2.EraseInteractionsRequest, context: Context) -> Any:
        """For good."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            units, request_ids = list(request.unit_ids), list(request.request_ids)
            erased = await self._interactions.erase(caller.tenant, units, request_ids, everything=request.all)
            what = "everything" if request.all else f"{len(units)} units and {len(request_ids)} requests"
            erasures.info("%s erased %d interactions: of %s", caller, erased, what)
            return interaction_pb2.EraseInteractionsResponse(erased=erased)


def _filter(asked: interaction_pb2.InteractionFilter, tenant: str) -> InteractionFilter:
    return InteractionFilter(
        tenant=tenant,
        routes=tuple(asked.routes),
        variants=tuple(asked.variants),
        after=asked.after.ToNanoseconds() / 1e9 if asked.HasField("after") else None,
        before=asked.before.ToNanoseconds() / 1e9 if asked.HasField("before") else None,
        rated=asked.rated,
    )


def _to_proto(kept: KeptInteraction) -> interaction_pb2.Interaction:
    one = kept.interaction
    return interaction_pb2.Interaction(
        request_id=one.request_id,
        route=one.route,
        variant=one.variant,
        unit=one.unit,
        stored_at=_time(kept.at),
        messages=map(_message_to_proto, one.messages),
        answer=one.answer,
        variables=dict(one.variables),
        tool_calls=map(_call_to_proto, one.tool_calls),
        receipt=_receipt_to_proto(one.receipt),
        rating=_rating_to_proto(kept),
    )


def _rating_to_proto(kept: KeptInteraction) -> interaction_pb2.Rating | None:
    said = kept.feedback
    if said is None:
        return None
    return interaction_pb2.Rating(
        score=said.score, label=said.label, corrected_text=said.corrected_text, comment=said.comment
    )


def _message_to_proto(message: Mapping[str, Any]) -> inference_pb2.Message:
    return inference_pb2.Message(
        role=message["role"],
        content=message["content"],
        tool_calls=map(_call_to_proto, message.get("tool_calls", ())),
        tool_call_id=message.get("tool_call_id", ""),
        name=message.get("name", ""),
    )


def _call_to_proto(call: Mapping[str, Any]) -> inference_pb2.ToolCall:
    arguments = call["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return inference_pb2.ToolCall(id=call.get("id", ""), name=call["name"], arguments=text)


def _receipt_to_proto(receipt: Mapping[str, Any]) -> receipt_pb2.Receipt | None:
    try:
        return receipt_to_proto(from_json(dict(receipt)))
    except (KeyError, TypeError, ValueError):
        return None  # a newer version's, which has fields that this one does not know


def _count_to_proto(count: InteractionCount) -> interaction_pb2.InteractionCount:
    return interaction_pb2.InteractionCount(
        route=count.route,
        variant=count.variant,
        stored=count.stored,
        rated=count.rated,
        corrected=count.corrected,
        mean_score=count.mean_score,
        oldest=_time(count.oldest),
        newest=_time(count.newest),
    )


def _time(seconds: float) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(datetime.fromtimestamp(seconds, UTC))
    return made
