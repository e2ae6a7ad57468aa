"""What every RPC does around its work: identity, request id, and one place that turns errors into statuses."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.message import Message

from trivet.api.v1 import receipt_pb2
from trivet.current_request import CURRENT_REQUEST
from trivet.errors import SlowReader, TrivetError
from trivet.rpc.auth import Authenticator
from trivet.rpc.messages.bounds import METADATA
from trivet.rpc.messages.reading import Unreadable, check_message
from trivet.rpc.status import GONE, status_of, trailers_of
from trivet.rpc.wire import receipt_to_proto
from trivet.types.receipt import Receipt
from trivet.types.request import Caller

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{METADATA['x-request-id']}}}")
Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """One RPC under way."""

    def __init__(self, context: Context) -> None:
        metadata = {str(key): value for key, value in (context.invocation_metadata() or ())}
        self._metadata = metadata
        given = metadata.get("x-request-id")
        self.request_id = given if isinstance(given, str) and REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        self.trailers: list[tuple[str, str | bytes]] = [("x-request-id", self.request_id)]
        self.arrived = asyncio.get_running_loop().time()
        remaining = context.time_remaining()
        self.deadline: float | None = None if remaining is None else self.arrived + remaining
        self.receipt: Receipt | None = None

    def close(self, receipt: Receipt) -> None:
        """Keep the receipt: for the trailers, and for the status of a failed call."""
        self.receipt = receipt
        self.trailers.append(("x-trivet-variant", receipt.variant))
        if receipt.budget_warnings:
            self.trailers.append(("x-trivet-budget-warning", "; ".join(receipt.budget_warnings)))

    def metadata(self, name: str) -> str | None:
        """One metadata value, None if absent or binary."""
        value = self._metadata.get(name)
        return value if isinstance(value, str) else None

    def authenticate(self, keys: Authenticator) -> Caller:
        """Who calls; raises Unauthenticated."""
        return keys.authenticate(self.metadata("authorization"))

    def require_operator(self, keys: Authenticator) -> Caller:
        """Who calls; raises Unauthenticated or PermissionDenied."""
        return keys.require_operator(self.metadata("authorization"))


@asynccontextmanager
async def rpc_call(context: Context, request: Message | Unreadable | None = None) -> AsyncIterator[Call]:
    """Around the work of any RPC, unary or streaming: an error inside ends the call with its status.

    A `request` that could not be read, or is out of its bounds, ends it before anything else is done; whoever streams
    requests checks each of them. No initial metadata is sent here, so that an error before the first message is
    trailers-only.
    """
    call = Call(context)
    CURRENT_REQUEST.set(call.request_id)
    try:
        if request is not None:
            check_message(request)
        yield call
        context.set_trailing_metadata(tuple(call.trailers))
    except GONE:
        raise
    except Exception as error:
        if not isinstance(error, TrivetError):
            logger.exception("request %s failed", call.request_id)
        proto: receipt_pb2.Receipt | None = None if call.receipt is None else receipt_to_proto(call.receipt)
        status = status_of(error, call.request_id, proto)
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        await context.abort(code, status.message, (*call.trailers, *trailers_of(error, status)))


async def write_bounded(context: Context, message: Message, timeout: float) -> None:
    """Write one message of a stream. HTTP/2 flow control holds back a slow client's: SlowReader after `timeout` s."""
    try:
        async with asyncio.timeout(timeout):
            await context.write(message)
    except TimeoutError as error:
        raise SlowReader(f"the client did not read its stream for {timeout:g} s") from error


class BoundedWrites:
    """`write_bounded` for all streams of a service, with one timer where each message would set one and take it back.

    All calls come from one event loop.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._under_way: dict[int, _Write] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._number = 0

    async def write(self, context: Context, message: Message) -> None:
        """Write one message of a stream; SlowReader after the time-out."""
        loop = asyncio.get_running_loop()
        number = self._number = self._number + 1
        one = self._under_way[number] = _Write(asyncio.current_task(), loop.time() + self._timeout)
        if self._timer is None:
            self._timer = loop.call_at(one.due, self._look)
        try:
            await context.write(message)
        except asyncio.CancelledError:
            # As in asyncio.timeout: whoever else cancels this task is obeyed.
            if one.late and one.task.uncancel() <= one.cancelling:
                raise SlowReader(f"the client did not read its stream for {self._timeout:g} s") from None
            raise
        finally:
            del self._under_way[number]

    def _look(self) -> None:
        """End those that are late, and come again when the next one would be."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for one in self._under_way.values():
            if one.due > loop.time():
                self._timer = loop.call_at(one.due, self._look)
                return
            if not one.late:
                one.late = True
                one.task.cancel()


class _Write:
    """One under way. `cancelling`: how often its task had been cancelled before."""

    __slots__ = ("cancelling", "due", "late", "task")

    def __init__(self, task: Any, due: float) -> None:
        self.task = task
        self.due = due
        self.late = False
        self.cancelling = task.cancelling()
