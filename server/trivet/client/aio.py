"""A client for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import grpc
from google.protobuf.message import Message

from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.client.failure import CallFailed, failures
from trivet.client.health import CHECK, is_serving
from trivet.client.retry import ONCE, Attempts, Retry
from trivet.client.stream import AsyncAnswerStream
from trivet.client.target import Target

ResponseT = TypeVar("ResponseT")
Metadata = Sequence[tuple[str, str]]


class AsyncClient:
    """Calls a server from event loops; raises CallFailed. Use with `async with`.

    `timeout`: the deadline of each call in seconds, its retries included; a call's own takes its place.
    Without `retry`, each call is tried once. Cancelling a task cancels its call. A connection belongs to the event loop
    that it was made in, so one client may be used in several.
    """

    def __init__(self, target: Target, *, timeout: float = 120.0, retry: Retry = ONCE) -> None:
        self._target = target
        self._timeout = timeout
        self._retry = retry
        self._metadata = target.metadata()
        self._channels: WeakKeyDictionary[asyncio.AbstractEventLoop, grpc.aio.Channel] = WeakKeyDictionary()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close this event loop's connection."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel is not None:
            await channel.close()

    async def generate(
        self, request: inference_pb2.GenerateRequest, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> inference_pb2.GenerateResponse:
        """One whole answer. `metadata` such as ("x-request-id", "...") is added to the call's."""
        return await self._safe(self._stub().Generate, request, timeout, metadata)

    def generate_stream(
        self, request: inference_pb2.GenerateRequest, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> AsyncAnswerStream:
        """An answer as it is made; leaving the stream's `async with` block cancels the call."""
        method, sent = self._stub().GenerateStream, [*self._metadata, *metadata]
        return AsyncAnswerStream(
            lambda seconds: method(request, timeout=seconds, metadata=sent),
            Attempts(self._retry, self._timeout if timeout is None else timeout),
        )

    async def retrieve(
        self, request: inference_pb2.RetrieveRequest, *, timeout: float | None = None, metadata: Metadata = ()
    ) -> inference_pb2.RetrieveResponse:
        """A search."""
        return await self._safe(self._stub().Retrieve, request, timeout, metadata)

    async def get_receipt(self, request_id: str) -> inference_pb2.GetReceiptResponse:
        """An earlier request's receipt."""
        return await self._safe(self._stub().GetReceipt, inference_pb2.GetReceiptRequest(request_id=request_id))

    async def submit_feedback(
        self,
        request_id: str,
        *,
        score: float | None = None,
        label: str = "",
        corrected_text: str = "",
        comment: str = "",
        timeout: float | None = None,
    ) -> None:
        """Say how good an earlier answer was: `score` from 0 (bad) to 1 (good), words, or both. Durable on return."""
        request = inference_pb2.SubmitFeedbackRequest(
            request_id=request_id, score=score, label=label, corrected_text=corrected_text, comment=comment
        )
        await self._safe(self._stub().SubmitFeedback, request, timeout)

    async def serving(self) -> bool:
        """Whether the server says that it serves requests: it does not while it starts or stops."""
        return is_serving(await self._safe(self._channel().unary_unary(CHECK), b""))

    async def _safe(
        self,
        method: Callable[..., Awaitable[ResponseT]],
        request: Message | bytes,
        timeout: float | None = None,
        metadata: Metadata = (),
    ) -> ResponseT:
        """A call that may be made again."""
        attempts = Attempts(self._retry, self._timeout if timeout is None else timeout)
        while True:
            try:
                with failures():
                    return await method(request, timeout=attempts.remaining, metadata=[*self._metadata, *metadata])
            except CallFailed as failure:
                await asyncio.sleep(attempts.wait_after(failure))

    def _stub(self) -> Any:
        return inference_pb2_grpc.InferenceStub(self._channel())

    def _channel(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        if loop not in self._channels:
            address, options = self._target.address, self._target.options()
            credentials = self._target.credentials()
            self._channels[loop] = (
                grpc.aio.insecure_channel(address, options=options)
                if credentials is None
                else grpc.aio.secure_channel(address, credentials, options=options)
            )
        return self._channels[loop]
