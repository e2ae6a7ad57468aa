"""Inferences: one request and its answer, or a stream of requests of which several are answered at one time."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

from trivet.current_request import CURRENT_REQUEST
from trivet.errors import InvalidRequest, SlowReader, TrivetError
from trivet.kserve.request import InferRequest, infer_request, renamed
from trivet.kserve.response import AnswerMessages, failed
from trivet.kserve.v2 import open_inference_pb2 as pb
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.response_sink import WholeSink
from trivet.rpc.call import Call, Context, write_bounded
from trivet.rpc.intake import IncomingCall, RequestIntake
from trivet.rpc.messages.reading import Unreadable
from trivet.rpc.status import GONE
from trivet.types.answer import Answer
from trivet.types.receipt import Receipt

logger = logging.getLogger(__name__)
_MOST_ROUTE = 128  # characters of a name that may be none
MOST_AT_ONCE = 32  # requests of a stream; the next one is read when one of them is answered


class StreamedCall:
    """One request of a stream: it has its own id and receipt; its metadata are the stream's."""

    def __init__(self, call: Call) -> None:
        self.request_id = secrets.token_hex(16)
        self.arrived = asyncio.get_running_loop().time()
        self.deadline = call.deadline
        self._call = call

    def metadata(self, name: str) -> str | None:
        """One of the stream's."""
        return self._call.metadata(name)

    def close(self, receipt: Receipt) -> None:
        """There are no trailers for one request."""


class _PieceSink(WholeSink):
    """Writes each piece as it comes."""

    def __init__(self, call: IncomingCall, messages: AnswerMessages, write: _Writer) -> None:
        super().__init__(call.close)
        self._messages = messages
        self._write = write

    async def delta(self, text: str, choice: int) -> None:
        """Returns when the transport took it."""
        await self._write(self._messages.piece(text))


class _Writer:
    """Writes messages of several answers to one stream, one at a time; SlowReader for a client that does not read."""

    def __init__(self, context: Context, timeout: float) -> None:
        self._context = context
        self._timeout = timeout
        self._lock = asyncio.Lock()

    async def __call__(self, message: pb.ModelStreamInferResponse) -> None:
        async with self._lock:
            await write_bounded(self._context, message, self._timeout)


class Inferences:
    """Answers requests of the Open Inference Protocol by the generation pipeline."""

    def __init__(self, generation: GenerationPipeline, intake: RequestIntake, slow_reader_timeout: float) -> None:
        self._generation = generation
        self._intake = intake
        self._slow_reader_timeout = slow_reader_timeout

    async def infer(self, asked: pb.ModelInferRequest, call: Call) -> pb.ModelInferResponse:
        """The whole answer in one message; raises what failed."""
        request = self._read(asked, call, streams=False)
        answer = await self._generate(request, call, WholeSink(call.close))
        return AnswerMessages(asked, request, call.request_id).whole(answer)

    async def stream(
        self, requests: AsyncIterator[pb.ModelInferRequest | Unreadable], call: Call, context: Context
    ) -> None:
        """Answer each request, in its own time. One that fails is told so; the others go on.

        Raises SlowReader for a client that does not read.
        """
        write, places = _Writer(context, self._slow_reader_timeout), asyncio.Semaphore(MOST_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as answering:
                async for asked in requests:
                    await places.acquire()
                    answering.create_task(self._answer(asked, call, write, places))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _answer(
        self, asked: pb.ModelInferRequest | Unreadable, stream: Call, write: _Writer, places: asyncio.Semaphore
    ) -> None:
        call = StreamedCall(stream)
        CURRENT_REQUEST.set(call.request_id)
        try:
            if isinstance(asked, Unreadable):
                raise asked.error
            await self._answer_in_pieces(asked, call, write)
        except (SlowReader, *GONE):
            raise
        except Exception as error:
            if not isinstance(error, TrivetError):
                logger.exception("request %s failed", call.request_id)
            read = None if isinstance(asked, Unreadable) else asked
            await write(failed(read, error, call.request_id))
        finally:
            places.release()

    async def _answer_in_pieces(self, asked: pb.ModelInferRequest, call: StreamedCall, write: _Writer) -> None:
        request = self._read(asked, call, streams=True)
        messages = AnswerMessages(asked, request, call.request_id)
        sink = _PieceSink(call, messages, write) if request.stream else WholeSink(call.close)
        answer = await self._generate(request, call, sink)
        await write(messages.end(answer, pieces=request.stream))

    def _read(self, asked: pb.ModelInferRequest, call: IncomingCall, *, streams: bool) -> InferRequest:
        tenant = self._intake.tenant(call)  # before anything of the message is looked at
        try:
            return infer_request(asked, streams=streams)
        except Exception as error:
            told = renamed(error) if isinstance(error, InvalidRequest) else error
            self._intake.refused(call, tenant, asked.model_name.partition(":")[0][:_MOST_ROUTE], told)
            raise told from None

    async def _generate(self, request: InferRequest, call: IncomingCall, sink: WholeSink) -> Answer:
        if request.timeout is not None:
            until = call.arrived + request.timeout
            call.deadline = until if call.deadline is None else min(call.deadline, until)
        try:
            asked = await self._intake.generate_call(request.message, call, request.schema)
            return await self._generation.generate(asked, sink)
        except InvalidRequest as error:
            raise renamed(error) from None
