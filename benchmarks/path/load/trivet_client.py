"""The load generator's side of Trivet's gRPC service: as little work per message as a client can do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import status_pb2

from benchmarks.measuring.workload import Prompt
from benchmarks.path.load.closed_loop import Answer
from trivet.api.v1 import inference_pb2, receipt_pb2

METHOD = "/trivet.api.v1.Inference/GenerateStream"
OWN = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
BACKOFF = 0.1  # seconds
DETAILS_TRAILER = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not served: its code, the client's time and the server's own (None: no receipt came)."""

    code: str
    client_ms: float
    server_ms: float | None


class TrivetClient:
    """One channel, as a service would have, or several with a connection each: a request goes to the one with the
    fewest open ones."""

    def __init__(self, address: str, connections: int = 1, *, again: bool = False) -> None:
        """`again`: what the server's gRPC cancels before it was answered is sent once more."""
        options = OWN if connections > 1 else None
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
        methods: list[Any] = [channel.unary_stream(METHOD) for channel in self._channels]  # bytes in, bytes out
        self._method = methods[0]
        self._open = dict.fromkeys(methods, 0)
        self._again = again

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels:
            await channel.close()

    async def send(self, prompt: Prompt, route: str, max_tokens: int | None = None) -> Answer:
        """One streamed request, read to its end; only the last message is parsed. Raises grpc.aio.AioRpcError."""
        request, sent, cancelled = _request(prompt.text, route, max_tokens), time.perf_counter(), 0
        while True:
            method = min(self._open, key=self._open.__getitem__)
            self._open[method] += 1
            try:
                return replace(await _read(method(request), sent), cancelled=cancelled)
            except grpc.aio.AioRpcError as error:
                if not self._again or error.code() is not grpc.StatusCode.CANCELLED:
                    raise
                cancelled += 1
            finally:
                self._open[method] -= 1
            await asyncio.sleep(BACKOFF)

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


async def _read(call: Any, sent: float) -> Answer:
    came, last = [], b""
    while (message := await call.read()) is not grpc.aio.EOF:
        came.append(time.perf_counter())
        last = message
    end = time.perf_counter()
    final = inference_pb2.GenerateStreamResponse.FromString(last).final
    if await call.code() is not grpc.StatusCode.OK or not final.HasField("receipt"):
        raise RuntimeError(f"the stream ended with {await call.code()} {await call.details()}")
    receipt = final.receipt
    gaps = [after - before for before, after in pairwise(came[:-1])]  # without the final message, which follows at once
    return Answer(sent, came[0], end, receipt.output_tokens, receipt.cached_tokens, final.text, _plain(receipt), gaps)


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
    return {
        name: plain[name]
        for name in ("gateway_ms", "retrieval_ms", "queue_ms", "total_ms", "degraded")
        if name in plain
    }
