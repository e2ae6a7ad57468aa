"""The one call to a node that carries all answers which it gives this gateway."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from functools import partial
from typing import Any

import grpc

from trivet.engine.failures import error_of
from trivet.engine.v1 import engine_pb2
from trivet.engine.wire import start_to_proto
from trivet.errors import BackendUnavailable, Draining, MessageTooLarge, TrivetError
from trivet.fleet.remote.answer_stream import AnswerStream
from trivet.types.generation import BackendRequest

_RETRY_AFTER = 1.0


class AnswersCall:
    """Reads as fast as it comes, for all of them. Call everything from one event loop; `give_up` last.

    `ended`: it carries nothing more, and what it carried has failed; another call is to be begun.
    """

    def __init__(self, call: Any, node: str, max_message_bytes: int) -> None:
        """`call`: the RPC, nothing sent yet. `node`: where it goes, for messages."""
        self.ended = False
        self._call = call
        self._node = node
        self._limit = max_message_bytes
        self._numbers = itertools.count(1)
        self._streams: dict[int, AnswerStream] = {}
        self._steps: deque[engine_pb2.GenerateRequest] = deque()
        self._waiting = asyncio.Event()
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())

    def begin(self, request: BackendRequest) -> AnswerStream:
        """Ask for an answer; `forget` it in any case. Raises MessageTooLarge."""
        number = next(self._numbers)
        step = engine_pb2.GenerateRequest(answer=number, start=start_to_proto(request))
        if (size := step.ByteSize()) > self._limit:
            raise MessageTooLarge(size, self._limit)
        stream = self._streams[number] = AnswerStream(number, self._node, partial(self._abort, number))
        self._send(step)
        return stream

    def forget(self, stream: AnswerStream) -> None:
        """It is not read any more."""
        self._streams.pop(stream.number, None)

    def give_up(self, problem: TrivetError) -> None:
        """The node is lost: everything ends with this."""
        self._finish(problem)
        self._call.cancel()
        self._writing.cancel()
        self._reading.cancel()

    def _abort(self, number: int) -> None:
        """Of one that has ended nothing is known any more."""
        if number in self._streams and not self.ended:
            self._send(engine_pb2.GenerateRequest(answer=number, abort=engine_pb2.Abort()))

    def _send(self, step: engine_pb2.GenerateRequest) -> None:
        self._steps.append(step)
        self._waiting.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._waiting.wait()
                self._waiting.clear()
                while self._steps:
                    await self._call.write(self._steps.popleft())
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the call has ended, and its status, which comes by reading, says why

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        problem: TrivetError = BackendUnavailable(f"engine node {self._node} ended its answers", _RETRY_AFTER)
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                now = loop.time()
                for piece in message.pieces:
                    self._take(piece, now)
        except grpc.aio.AioRpcError as failure:
            problem = _of_the_call(error_of(failure, self._node))
        finally:
            self._finish(problem)
            self._writing.cancel()

    def _take(self, piece: engine_pb2.Piece, now: float) -> None:
        stream = self._streams.get(piece.answer)
        if stream is not None:  # else it was left, and has waited long enough
            stream.take(piece, now)
            if stream.ended:
                del self._streams[piece.answer]

    def _finish(self, problem: TrivetError) -> None:
        self.ended = True
        for stream in self._streams.values():
            stream.fail(problem)
        self._streams.clear()


def _of_the_call(problem: TrivetError) -> TrivetError:
    """What ends all answers is no mistake of any of their requests."""
    known = isinstance(problem, BackendUnavailable | Draining)
    return problem if known else BackendUnavailable(str(problem), _RETRY_AFTER)
