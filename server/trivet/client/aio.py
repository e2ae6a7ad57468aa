"""A client for event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import grpc
from google.protobuf.message import Message

from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc
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
    that it was made in, so one client may be used in several. What looks into indexes calls the target's admin address.
    """

    def __init__(self, target: Target, *, timeout: float = 120.0, retry: Retry = ONCE) -> None:
        self._target = target
        self._timeout = timeout
        self._retry = retry
        self._metadata = target.metadata()
        self._channels: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, grpc.aio.Channel]] = WeakKeyDictionary()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close this event loop's connections."""
        for channel in self._channels.pop(asyncio.get_running_loop(), {}).values():
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
        return is_serving(await self._safe(self._channel(self._target.address).unary_unary(CHECK), b""))

    async def explain_search(
        self, request: admin_pb2.ExplainSearchRequest, *, timeout: float | None = None
    ) -> admin_pb2.ExplainSearchResponse:
        """How a search comes about."""
        return await self._safe(self._admin().ExplainSearch, request, timeout)

    async def list_documents(self, index: str) -> AsyncIterator[admin_pb2.DocumentSummary]:
        """Every document of an index. Without a time limit."""
        request = admin_pb2.ListDocumentsRequest(index=index)
        call = self._admin().ListDocuments(request, metadata=self._metadata)
        try:
            with failures():
                async for response in call:
                    for document in response.documents:
                        yield document
        finally:
            call.cancel()

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
        return inference_pb2_grpc.InferenceStub(self._channel(self._target.address))

    def _admin(self) -> Any:
        return admin_pb2_grpc.AdminStub(self._channel(self._target.admin_address))

    def _channel(self, address: str) -> grpc.aio.Channel:
        channels = self._channels.setdefault(asyncio.get_running_loop(), {})
        if address not in channels:
            options, credentials = self._target.options(), self._target.credentials()
            channels[address] = (
                grpc.aio.insecure_channel(address, options=options)
                if credentials is None
                else grpc.aio.secure_channel(address, credentials, options=options)
            )
        return channels[address]
