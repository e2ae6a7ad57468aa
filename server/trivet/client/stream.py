"""An answer as it is made, for threads and for event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import grpc

from trivet.api.v1 import inference_pb2
from trivet.client.failure import CallFailed, failures
from trivet.client.retry import Attempts


class AnswerStream:
    """Iterates over an answer's events: deltas, then one final response. Use as a context manager, or call `cancel`.

    `start` makes the call with so many seconds left. It is tried again only before the first event.
    """

    def __init__(self, start: Callable[[float], Any], attempts: Attempts) -> None:
        self._start = start
        self._attempts = attempts
        self._call = start(attempts.remaining)
        self._begun = False
        self._cancelled = threading.Event()

    def __iter__(self) -> AnswerStream:
        return self

    def __next__(self) -> inference_pb2.GenerateStreamResponse:
        """The next event. Raises CallFailed, with the code CANCELLED after `cancel`."""
        while True:
            try:
                with failures():
                    event: inference_pb2.GenerateStreamResponse = next(self._call)
                self._begun = True
                return event
            except CallFailed as failure:
                if self._begun or self._cancelled.wait(self._attempts.wait_after(failure)):
                    raise
                self._call = self._start(self._attempts.remaining)
                if self._cancelled.is_set():  # meanwhile, by another thread that saw the earlier call
                    self._call.cancel()

    def __enter__(self) -> AnswerStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the call: the server stops generating at once. Any thread may do so; after the end it does nothing."""
        self._cancelled.set()
        self._call.cancel()

    close = cancel


class AsyncAnswerStream:
    """Iterates over an answer's events: deltas, then one final response. Use with `async with`, or call `cancel`.

    `start` makes the call with so many seconds left. It is tried again only before the first event. Cancelling the
    task that iterates cancels the call.
    """

    def __init__(self, start: Callable[[float], Any], attempts: Attempts) -> None:
        self._start = start
        self._attempts = attempts
        self._call = start(attempts.remaining)
        self._begun = False
        self._cancelled = False

    def __aiter__(self) -> AsyncAnswerStream:
        return self

    async def __anext__(self) -> inference_pb2.GenerateStreamResponse:
        """The next event. Raises CallFailed."""
        while True:
            try:
                with failures():
                    read = await self._call.read()
                if read is grpc.aio.EOF:
                    raise StopAsyncIteration
                self._begun = True
                event: inference_pb2.GenerateStreamResponse = read
                return event
            except asyncio.CancelledError:
                if self._cancelled and not _task_is_cancelled():
                    raise CallFailed(_cancelled()) from None
                raise
            except CallFailed as failure:
                if self._begun or self._cancelled:
                    raise
                await asyncio.sleep(self._attempts.wait_after(failure))
                if self._cancelled:
                    raise
                self._call = self._start(self._attempts.remaining)

    async def __aenter__(self) -> AsyncAnswerStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """End the call: the server stops generating at once. After the end it does nothing."""
        self._cancelled = True
        self._call.cancel()


def _task_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _cancelled() -> grpc.aio.AioRpcError:
    """What a thread's stream raises by itself; gRPC's asyncio calls raise CancelledError, which is the task's."""
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, nothing, nothing, "the client cancelled the call")
