"""One answer as it comes from a node."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from trivet.engine.failures import error_of_status
from trivet.engine.v1 import engine_pb2
from trivet.engine.wire import charge_from_proto, chunk_from_proto
from trivet.errors import TrivetError
from trivet.types.generation import Chunk, FinishReason, MachineCharge

LEAVE_SECONDS = 1.0  # for the node to say what it had handed over; the engine's work is aborted before that


class AnswerStream:
    """Holds what has come and was not fetched, at most the answer. One reader, on the event loop of its call."""

    def __init__(self, number: int, node: str, abort: Callable[[], None]) -> None:
        """`number`: which of its call's answers it is. `abort` tells the node to end it, if it goes on there."""
        self.number = number
        self._node = node
        self._abort = abort
        self._held: deque[tuple[engine_pb2.Chunk, float]] = deque()  # with the time at which it came
        self._failure: TrivetError | None = None
        self._wake: asyncio.Future[None] | None = None
        self.ended = False
        self.charge: MachineCharge | None = None  # what it costs, once it has ended

    def take(self, piece: engine_pb2.Piece, now: float) -> None:
        """Some more of it has come. It is looked into when it is fetched: by its own reader, in the reader's turn."""
        if piece.HasField("charge"):
            self.charge = charge_from_proto(piece.charge)
        if piece.WhichOneof("content") == "status":
            self.fail(error_of_status(piece.status, self._node))
            return
        self._held.append((piece.chunk, now))
        self.ended = self.ended or piece.chunk.finish != engine_pb2.FINISH_REASON_UNSPECIFIED
        self._tell()

    def fail(self, problem: TrivetError) -> None:
        """It ends here, with this; what came before can be fetched."""
        if not self.ended:
            self.ended = True
            self._failure = problem
            self._tell()

    async def next(self) -> Chunk | None:
        """The next chunk, None after the last; raises what ended it early."""
        while not self._held:
            if self._failure is not None:
                raise self._failure
            if self.ended:
                return None
            await self._more()
        return chunk_from_proto(*self._held.popleft())

    async def leave(self) -> Chunk | None:
        """Abort the work; what the engine had handed over and nobody fetched, None if nothing."""
        self._abort()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                while not self.ended:
                    await self._more()
        except TimeoutError:
            pass
        return merged(chunk_from_proto(*one) for one in self._held)

    async def _more(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _tell(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def merged(chunks: Iterable[Chunk]) -> Chunk | None:
    """Several chunks as one, None if there are no tokens in them."""
    held = [chunk for chunk in chunks if chunk.tokens or chunk.finish is not None]
    if not sum(chunk.tokens for chunk in held):
        return None
    last = held[-1]
    first = next((chunk for chunk in held if chunk.input_tokens is not None), None)
    return Chunk(
        text="".join(chunk.text for chunk in held),
        tokens=sum(chunk.tokens for chunk in held),
        engine_at=last.engine_at,
        finish=None if last.finish is FinishReason.CANCELLED else last.finish,
        input_tokens=None if first is None else first.input_tokens,
        cached_tokens=None if first is None else first.cached_tokens,
        times=last.times,
        reasoning="".join(chunk.reasoning for chunk in held),
        reasoning_tokens=last.reasoning_tokens,
        tool_calls=last.tool_calls,
        call_deltas=tuple(delta for chunk in held for delta in chunk.call_deltas),
        logprobs=tuple(token for chunk in held for token in chunk.logprobs),
    )
