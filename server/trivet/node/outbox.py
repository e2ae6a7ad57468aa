"""What goes to one gateway: the pieces of all its answers, as many in a message as have come by then.

A message costs Python's gRPC far more than a piece does, and an engine hands over one piece for each of its requests at
every step. So nothing waits for company, but what comes while a message is written goes out with the next.
"""

from __future__ import annotations

import asyncio
from collections import deque

from google.rpc import status_pb2

from trivet.engine.v1 import engine_pb2
from trivet.engine.wire import charge_to_proto, chunk_to_proto
from trivet.rpc.call import Context, write_bounded
from trivet.types.generation import Chunk, MachineCharge

MESSAGE_BYTES = 128 << 10  # a message that has more gets no further piece
MOST_MESSAGES = 8  # that wait, before nothing more is read of a gateway


class Outbox:
    """`run` writes what is put, for as long as it runs. Call everything from one event loop.

    Raises SlowReader from `run` if a message is not taken within `patience` seconds.
    """

    def __init__(self, context: Context, patience: float) -> None:
        self._context = context
        self._patience = patience
        self._messages: deque[engine_pb2.GenerateResponse] = deque()
        self._bytes = 0  # of the last message
        self._put = 0  # messages begun, taken, written
        self._taken = 0
        self._written = 0
        self._writing = False
        self._waiting = asyncio.Event()
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            await self._waiting.wait()
            self._waiting.clear()
            while self._messages:
                message = self._messages.popleft()
                self._taken += 1
                self._writing = True
                await write_bounded(self._context, message, self._patience)
                self._writing = False
                self._written += 1
                self._moved.set()
                self._moved = asyncio.Event()

    def put(self, answer: int, chunk: Chunk, charge: MachineCharge | None = None) -> None:
        """Some more of an answer; what it costs goes with its last."""
        piece = self._message().pieces.add(answer=answer)
        chunk_to_proto(chunk, piece.chunk)
        self._added(piece, charge)

    def end(self, answer: int, status: status_pb2.Status, charge: MachineCharge | None = None) -> None:
        """An answer's end, by an error."""
        piece = self._message().pieces.add(answer=answer, status=status.SerializeToString())
        self._added(piece, charge)

    async def taken(self) -> None:
        """Until what was put is being written, at once if nothing is in its way: whoever comes with more waits for
        that, and what its engine makes meanwhile becomes one piece."""
        put = self._put
        while self._writing and self._taken < put:
            await self._moved.wait()

    async def flushed(self) -> None:
        """Until what was put is written."""
        put = self._put
        while self._written < put:
            await self._moved.wait()

    async def room(self) -> None:
        """Until few messages wait."""
        while len(self._messages) > MOST_MESSAGES:
            await self._moved.wait()

    def _added(self, piece: engine_pb2.Piece, charge: MachineCharge | None) -> None:
        if charge is not None:
            piece.charge.CopyFrom(charge_to_proto(charge))
        self._bytes += piece.ByteSize()
        self._waiting.set()

    def _message(self) -> engine_pb2.GenerateResponse:
        """The one that is filled at present."""
        if not self._messages or self._bytes >= MESSAGE_BYTES:
            self._messages.append(engine_pb2.GenerateResponse())
            self._put += 1
            self._bytes = 0
        return self._messages[-1]
