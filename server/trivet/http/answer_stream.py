"""An answer on its way to its client, as a whole or as server-sent events: the same in every dialect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from trivet.errors import TrivetError
from trivet.http.exchange import Exchange
from trivet.http.failure import Failure, failure_of
from trivet.pipeline.backend_request import as_a_whole
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.response_sink import WholeSink
from trivet.types.answer import Answer
from trivet.types.generation import CallDelta, TokenLogprob
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall

logger = logging.getLogger(__name__)
_EVENTS = "text/event-stream; charset=utf-8"


class AnswerForm(Protocol):
    """How a dialect writes an answer. `choice`: of which of several answers a piece is, 0 for the first."""

    def whole(self, answer: Answer) -> bytes:
        """The answer as one JSON object."""
        ...

    def begin(self) -> bytes:
        """The events before the first piece."""
        ...

    def text(self, text: str, choice: int) -> bytes:
        """Those of some more text."""
        ...

    def thought(self, text: str, choice: int) -> bytes:
        """Those of some more of what the model thinks."""
        ...

    def calls(self, deltas: Sequence[CallDelta], choice: int) -> bytes:
        """Those of some more of what is to be called."""
        ...

    def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> bytes:
        """Those of what the tokens of the next pieces have; empty if they come with these pieces."""
        ...

    def end(self, answer: Answer) -> bytes:
        """Those after the last piece."""
        ...

    def failed(self, failure: Failure) -> bytes:
        """Those of an answer that ends in an error after it had begun."""
        ...


class Closing(Protocol):
    """Keeps the receipt of a request."""

    def close(self, receipt: Receipt) -> None:
        """For the headers, and for the error of a failed request."""
        ...


class Pieces(Protocol):
    """The part of `AnswerForm` that writes pieces."""

    def text(self, text: str, choice: int) -> bytes:
        """See `AnswerForm`."""
        ...

    def thought(self, text: str, choice: int) -> bytes:
        """See `AnswerForm`."""
        ...

    def calls(self, deltas: Sequence[CallDelta], choice: int) -> bytes:
        """See `AnswerForm`."""
        ...

    def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> bytes:
        """See `AnswerForm`."""
        ...


class EventStream:
    """The events of one response, one after the other, whoever writes them.

    It begins with the first piece, so that what fails before it has a status of its own.
    """

    def __init__(self, exchange: Exchange, begin: Callable[[], bytes]) -> None:
        """`begin` makes the events before the first piece."""
        self._exchange = exchange
        self._begin = begin
        self._head: bytes | None = None
        self._turn = asyncio.Lock()

    async def write(self, make: Callable[[], bytes], *, last: bool = False) -> None:
        """Returns when the connection has room; SlowReader after the time-out. Nothing to do for an empty piece."""
        async with self._turn:
            if self._head is None:
                self._head = self._begin()  # before the piece: a form may number its events
            piece = make()
            if not piece:
                return
            if not self._exchange.begun:
                await self._exchange.begin(_EVENTS)
                piece = self._head + piece
            await self._exchange.write(piece, last=last)

    async def fail(self, error: Exception, told: Callable[[Failure], bytes]) -> None:
        """End it with the events of an error; raises it where nothing was written."""
        call = self._exchange.call
        if not self._exchange.begun:
            raise error
        if not isinstance(error, TrivetError):
            logger.error("request %s failed", call.request_id, exc_info=error)
        failure = failure_of(error, call.request_id, call.receipt, self._exchange.names)
        await self._exchange.write(told(failure), last=True)


class EventSink(WholeSink):
    """Writes each piece to the client as it comes, and gives up on one that does not read."""

    def __init__(self, call: Closing, stream: EventStream, pieces: Pieces) -> None:
        super().__init__(call.close)
        self._stream = stream
        self._pieces = pieces

    async def delta(self, text: str, choice: int) -> None:
        """Returns when the connection has room."""
        await self._stream.write(partial(self._pieces.text, text, choice))

    async def reasoning(self, text: str, choice: int) -> None:
        """The same."""
        await self._stream.write(partial(self._pieces.thought, text, choice))

    async def tool_calls(self, deltas: Sequence[CallDelta], choice: int) -> None:
        """And the same."""
        await self._stream.write(partial(self._pieces.calls, deltas, choice))

    async def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> None:
        """The same again."""
        await self._stream.write(partial(self._pieces.logprobs, tokens, choice))


async def respond(
    generation: GenerationPipeline, call: GenerateCall, exchange: Exchange, form: AnswerForm, *, stream: bool
) -> None:
    """Answer one request. Raises what fails before the response has begun; what fails later is told in its events."""
    if not stream:
        answer = await generation.generate(as_a_whole(call), WholeSink(exchange.call.close))
        await exchange.respond(form.whole(answer))
        return
    events = EventStream(exchange, form.begin)
    try:
        answer = await generation.generate(call, EventSink(exchange.call, events, form))
        await events.write(lambda: form.end(answer), last=True)
    except Exception as error:
        await events.fail(error, form.failed)
