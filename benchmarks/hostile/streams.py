"""Eight streams that ask for ever, and the times between their messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from types import TracebackType
from typing import Any

import grpc

from benchmarks.measuring.workload import PLAIN_ROUTE, fresh_texts
from trivet.api.v1 import inference_pb2

STREAMS = 8
METHOD = "/trivet.api.v1.Inference/GenerateStream"


class Streams:
    """Closed loops over one channel. `problems`: how requests failed."""

    def __init__(self, address: str, key: str) -> None:
        self.problems: list[str] = []
        self._channel = grpc.aio.insecure_channel(address)
        self._method: Any = self._channel.unary_stream(METHOD)
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._texts = fresh_texts("stream")
        self._gaps: list[float] = []
        self._stopping = False

    async def __aenter__(self) -> Streams:
        self._tasks = [asyncio.create_task(self._ask()) for _ in range(STREAMS)]
        await asyncio.sleep(1.0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
        await self._channel.close()

    async def during(self, work: Awaitable[object]) -> list[float]:
        """The seconds between two messages of a stream while `work` goes on."""
        gaps: list[float] = []
        self._gaps = gaps
        await work
        self._gaps = []
        return gaps

    async def _ask(self) -> None:
        while not self._stopping:
            message = inference_pb2.Message(role="user", content=next(self._texts))
            request = inference_pb2.GenerateRequest(route=PLAIN_ROUTE, messages=[message])
            call = self._method(bytes(request.SerializeToString()), metadata=self._metadata, timeout=60)
            last = None
            try:
                while await call.read() is not grpc.aio.EOF:
                    now = time.perf_counter()
                    if last is not None:
                        self._gaps.append(now - last)
                    last = now
                if await call.code() is not grpc.StatusCode.OK:
                    self.problems.append(f"a stream ended with {await call.code()}: {await call.details()}")
            except grpc.aio.AioRpcError as error:
                self.problems.append(f"a stream failed with {error.code()}: {error.details()}")
