"""The load generator's side of Trivet's gRPC service: as little work per message as a client can do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import status_pb2

from benchmarks.measuring.workload import Prompt
from benchmarks.path.load.closed_loop import Answer
from trivet.api.v1 import inference_pb2, receipt_pb2

METHOD = "/trivet.api.v1.Inference/GenerateStream"
DETAILS_TRAILER = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not served: its code, the client's time and the server's own (None: no receipt came)."""

    code: str
    client_ms: float
    server_ms: float | None


class TrivetClient:
    """One channel, as a service would have."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._method: Any = self._channel.unary_stream(METHOD)  # bytes in, bytes out

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def send(self, prompt: Prompt, route: str, max_tokens: int | None = None) -> Answer:
        """One streamed request, read to its end; only the last message is parsed. Raises grpc.aio.AioRpcError."""
        request = _request(prompt.text, route, max_tokens)
        sent = time.perf_counter()
        call = self._method(request)
        came, last = [], b""
        while (message := await call.read()) is not grpc.aio.EOF:
            came.append(time.perf_counter())
            last = message
        end = time.perf_counter()
        final = inference_pb2.GenerateStreamResponse.FromString(last).final
        if await call.code() is not grpc.StatusCode.OK or not final.HasField("receipt"):
            raise RuntimeError(f"the stream ended with {await call.code()} {await call.details()}")
        receipt = final.receipt
        gaps = [
            after - before for before, after in pairwise(came[:-1])
        ]  # without the final message, which follows at once
        return Answer(
            sent, came[0], end, receipt.output_tokens, receipt.cached_tokens, final.text, _plain(receipt), gaps
        )

    async def burst(self, prompt: Prompt, route: str, number: int) -> tuple[list[Refusal], int]:
        """Send `number` requests at once; returns those that were refused and how many were answered."""
        request = _request(prompt.text, route, None)
        results = await asyncio.gather(*(self._try(request) for _ in range(number)))
        refused = [result for result in results if result is not None]
        return refused, number - len(refused)

    async def _try(self, request: bytes) -> Refusal | None:
        sent = time.perf_counter()
        call = self._method(request)
        try:
            while await call.read() is not grpc.aio.EOF:
                pass
        except grpc.aio.AioRpcError:
            pass
        client_ms = 1000 * (time.perf_counter() - sent)
        code = await call.code()
        if code is grpc.StatusCode.OK:
            return None
        for key, value in await call.trailing_metadata():
            if key == DETAILS_TRAILER:
                return Refusal(code.name, client_ms, _server_ms(value))
        return Refusal(code.name, client_ms, None)


def _request(text: str, route: str, max_tokens: int | None) -> bytes:
    request = inference_pb2.GenerateRequest(
        route=route, messages=[inference_pb2.Message(role="user", content=text)], max_tokens=max_tokens
    )
    return bytes(request.SerializeToString())


def _server_ms(details: bytes) -> float | None:
    for detail in status_pb2.Status.FromString(details).details:
        receipt = receipt_pb2.Receipt()
        if detail.Unpack(receipt):
            return float(receipt.total_ms)
    return None


def _plain(receipt: receipt_pb2.Receipt) -> dict[str, Any]:
    plain: dict[str, Any] = json_format.MessageToDict(receipt, preserving_proto_field_name=True)
    return {name: plain[name] for name in ("gateway_ms", "retrieval_ms", "queue_ms", "degraded") if name in plain}
