"""The Inference service: checks what comes in, hands it to the pipeline, writes what comes out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.errors import InvalidRequest, NotFound
from trivet.excerpt import quote
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.receipt_log import ReceiptLog
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.search import SearchPipeline
from trivet.rpc.auth import Authenticator
from trivet.rpc.call import Call, Context, rpc_call, write_bounded
from trivet.rpc.wire import (
    answer_to_proto,
    citation_to_proto,
    feedback_of,
    generate_call,
    priority_of,
    receipt_to_proto,
    retrieve_call,
    variant_of,
)
from trivet.schemas.limits import DEFAULT_LIMITS, SchemaLimits
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall

SMALL_SCHEMA = 1024  # bytes; a larger one takes up to milliseconds to read, and the event loop is everybody's


class UnarySink:
    """Reads nothing on the way: the whole answer is the response."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def delta(self, text: str) -> None:
        """The text is kept by the pipeline."""

    def closed(self, receipt: Receipt) -> None:
        """Keep the receipt for the trailers, and for the status of a failed call."""
        self._call.close(receipt)


class StreamSink(UnarySink):
    """Writes each piece to the client as it comes, and gives up on one that does not read."""

    def __init__(self, call: Call, context: Context, timeout: float) -> None:
        super().__init__(call)
        self._context = context
        self._timeout = timeout

    async def delta(self, text: str) -> None:
        """Returns when the transport took it: HTTP/2 flow control holds back a slow client's stream."""
        await self.write(inference_pb2.GenerateStreamResponse(delta=inference_pb2.Delta(text=text)))

    async def write(self, message: inference_pb2.GenerateStreamResponse) -> None:
        """Write one message; SlowReader after the time-out."""
        await write_bounded(self._context, message, self._timeout)


class InferenceServicer(inference_pb2_grpc.InferenceServicer):
    """Implements `trivet.api.v1.Inference`."""

    def __init__(
        self,
        *,
        generation: GenerationPipeline,
        search: SearchPipeline,
        receipts: ReceiptLog,
        feedback: FeedbackIntake,
        keys: Authenticator,
        slow_reader_timeout: float,
        schema_limits: SchemaLimits = DEFAULT_LIMITS,
    ) -> None:
        self._generation = generation
        self._search = search
        self._receipts = receipts
        self._feedback = feedback
        self._keys = keys
        self._schema_limits = schema_limits
        self._schemas = FairSemaphore(1)  # large ones being read
        self._slow_reader_timeout = slow_reader_timeout

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Context) -> Any:
        """Answer with one message."""
        async with rpc_call(context, request) as call:
            answer = await self._generation.generate(await self._checked(request, call), UnarySink(call))
            return answer_to_proto(answer)

    async def GenerateStream(self, request: inference_pb2.GenerateRequest, context: Context) -> None:
        """Answer as it is generated."""
        async with rpc_call(context, request) as call:
            sink = StreamSink(call, context, self._slow_reader_timeout)
            answer = await self._generation.generate(await self._checked(request, call), sink)
            await sink.write(inference_pb2.GenerateStreamResponse(final=answer_to_proto(answer)))

    async def Retrieve(self, request: inference_pb2.RetrieveRequest, context: Context) -> Any:
        """Search without answering."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys) if request.index else call.authenticate(self._keys)
            found = await self._search.search(
                retrieve_call(
                    request,
                    request_id=call.request_id,
                    tenant=caller.tenant,
                    arrived=call.arrived,
                    deadline=call.deadline,
                )
            )
            return inference_pb2.RetrieveResponse(
                citations=[citation_to_proto(passage) for passage in found.passages],
                index=found.index,
                snapshot=found.snapshot,
                retrieval_ms=found.retrieval_ms,
                retrieval_confidence=found.confidence,
                degraded=found.degraded,
            )

    async def SubmitFeedback(self, request: inference_pb2.SubmitFeedbackRequest, context: Context) -> Any:
        """Record how good an answer was."""
        async with rpc_call(context, request) as call:
            caller = call.authenticate(self._keys)
            await self._feedback.submit(feedback_of(request, caller.tenant))
            return inference_pb2.SubmitFeedbackResponse()

    async def GetReceipt(self, request: inference_pb2.GetReceiptRequest, context: Context) -> Any:
        """The receipt of an earlier request of the caller's own tenant."""
        async with rpc_call(context, request) as call:
            caller = call.authenticate(self._keys)
            if not request.request_id:
                raise InvalidRequest({"request_id": "is empty"})
            receipt = self._receipts.find(caller.tenant, request.request_id)
            if receipt is None:
                raise NotFound(f"no receipt of request {quote(request.request_id)} among the latest")
            return inference_pb2.GetReceiptResponse(receipt=receipt_to_proto(receipt))

    async def _checked(self, request: inference_pb2.GenerateRequest, call: Call) -> GenerateCall:
        caller = call.authenticate(self._keys)
        check = partial(
            generate_call,
            request,
            request_id=call.request_id,
            tenant=caller.tenant,
            arrived=call.arrived,
            deadline=call.deadline,
            priority=priority_of(call.metadata("x-trivet-priority")),
            forced_variant=variant_of(call.metadata("x-trivet-variant"), caller),
            schema_limits=self._schema_limits,
        )
        if request.json_schema.ByteSize() <= SMALL_SCHEMA:
            return check()
        async with self._schemas.slot(caller.tenant):
            return await asyncio.to_thread(check)
