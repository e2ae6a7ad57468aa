"""The Inference service: checks what comes in, hands it to the pipeline, writes what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.errors import InvalidRequest, NotFound
from trivet.excerpt import quote
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.receipt_log import ReceiptLog
from trivet.pipeline.backend_request import as_a_whole
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.response_sink import WholeSink
from trivet.pipeline.search import SearchPipeline
from trivet.rpc.call import BoundedWrites, Call, Context, rpc_call
from trivet.rpc.intake import RequestIntake
from trivet.rpc.request.calls import feedback_of
from trivet.rpc.wire import (
    answer_to_proto,
    call_delta_to_proto,
    logprob_to_proto,
    receipt_to_proto,
    search_to_proto,
)
from trivet.types.generation import CallDelta, TokenLogprob


class StreamSink(WholeSink):
    """Writes each piece to the client as it comes, and gives up on one that does not read."""

    def __init__(self, call: Call, context: Context, writes: BoundedWrites) -> None:
        super().__init__(call.close)
        self._context = context
        self._writes = writes

    async def delta(self, text: str, choice: int) -> None:
        """Returns when the transport took it: HTTP/2 flow control holds back a slow client's stream."""
        await self._write(inference_pb2.Delta(text=text, choice=choice))

    async def reasoning(self, text: str, choice: int) -> None:
        """The same for what the model thinks."""
        await self._write(inference_pb2.Delta(reasoning=text, choice=choice))

    async def tool_calls(self, deltas: Sequence[CallDelta], choice: int) -> None:
        """And for what it asks to have called."""
        await self._write(inference_pb2.Delta(tool_calls=[call_delta_to_proto(one) for one in deltas], choice=choice))

    async def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> None:
        """And for its tokens' log probabilities."""
        await self._write(inference_pb2.Delta(logprobs=[logprob_to_proto(one) for one in tokens], choice=choice))

    async def _write(self, delta: inference_pb2.Delta) -> None:
        await self.write(inference_pb2.GenerateStreamResponse(delta=delta))

    async def write(self, message: inference_pb2.GenerateStreamResponse) -> None:
        """Write one message; SlowReader after the time-out."""
        await self._writes.write(self._context, message)


class InferenceServicer(inference_pb2_grpc.InferenceServicer):
    """Implements `trivet.api.v1.Inference`."""

    def __init__(
        self,
        *,
        generation: GenerationPipeline,
        search: SearchPipeline,
        receipts: ReceiptLog,
        feedback: FeedbackIntake,
        intake: RequestIntake,
        slow_reader_timeout: float,
    ) -> None:
        self._generation = generation
        self._search = search
        self._receipts = receipts
        self._feedback = feedback
        self._intake = intake
        self._writes = BoundedWrites(slow_reader_timeout)

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Context) -> Any:
        """Answer with one message."""
        async with rpc_call(context, request) as call:
            asked = as_a_whole(await self._intake.generate_call(request, call))
            return answer_to_proto(await self._generation.generate(asked, WholeSink(call.close)))

    async def GenerateStream(self, request: inference_pb2.GenerateRequest, context: Context) -> None:
        """Answer as it is generated."""
        async with rpc_call(context, request) as call:
            sink = StreamSink(call, context, self._writes)
            answer = await self._generation.generate(await self._intake.generate_call(request, call), sink)
            final = answer_to_proto(answer, with_logprobs=False)
            await sink.write(inference_pb2.GenerateStreamResponse(final=final))

    async def Retrieve(self, request: inference_pb2.RetrieveRequest, context: Context) -> Any:
        """Search without answering."""
        async with rpc_call(context, request) as call:
            found = await self._search.search(self._intake.retrieve_call(request, call))
            return search_to_proto(found)

    async def SubmitFeedback(self, request: inference_pb2.SubmitFeedbackRequest, context: Context) -> Any:
        """Record how good an answer was."""
        async with rpc_call(context, request) as call:
            await self._feedback.submit(feedback_of(request, self._intake.tenant(call)))
            return inference_pb2.SubmitFeedbackResponse()

    async def GetReceipt(self, request: inference_pb2.GetReceiptRequest, context: Context) -> Any:
        """The receipt of an earlier request of the caller's own tenant."""
        async with rpc_call(context, request) as call:
            tenant = self._intake.tenant(call)
            if not request.request_id:
                raise InvalidRequest({"request_id": "is empty"})
            receipt = await self._receipts.recall(tenant, request.request_id)
            if receipt is None:
                raise NotFound(f"no receipt of request {quote(request.request_id)} among the latest")
            return inference_pb2.GetReceiptResponse(receipt=receipt_to_proto(receipt))
