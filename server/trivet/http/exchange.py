"""One HTTP request and its response: errors told in one form, work cancelled when the client has gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from trivet.current_request import CURRENT_REQUEST
from trivet.errors import SlowReader, TrivetError
from trivet.http.body import read_body
from trivet.http.call import HttpCall
from trivet.http.failure import Failure, failure_of

logger = logging.getLogger(__name__)
ABORT = "trivet.abort"  # of a request's scope: gives its connection up, where the listener can
_Body = TypeVar("_Body", bound=BaseModel)
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """Bytes of a body; seconds for a client to send it, and to read each piece of its response."""

    max_body_bytes: int
    body_timeout: float
    slow_reader_timeout: float


class Exchange:
    """What an endpoint works with. The response is begun once, by `begin` or by `respond`."""

    def __init__(self, request: Request, send: Send, limits: ExchangeLimits, names: Mapping[str, str]) -> None:
        """`names`: what fields are called here that errors name as the contract does; an endpoint may know more."""
        self.names = names
        self.request = request
        self.call = HttpCall(request.headers)
        self.begun = False
        self.read = asyncio.Event()  # the body is; from then on all that can come is that the client goes
        self._large = False
        self._send = send
        self._limits = limits

    async def body(self, model: type[_Body]) -> _Body:
        """The request's body; see `read_body`."""
        limits = self._limits
        found, self._large = await read_body(self.request, model, limits.max_body_bytes, limits.body_timeout)
        self.read.set()
        return found

    async def made(self, make: Callable[[], _Made]) -> _Made:
        """What `make` makes of the body: beside the event loop, if the body is large."""
        return await asyncio.to_thread(make) if self._large else make()

    async def respond(self, content: bytes, media_type: str = "application/json") -> None:
        """Answer with this content at once."""
        await self.send(Response(content, 200, self.call.headers(), media_type))

    async def send(self, response: Response) -> None:
        """Answer with this response; SlowReader after the time-out."""
        self.begun = True
        await self._bounded(response(self.request.scope, self.request.receive, self._send))

    async def begin(self, media_type: str) -> None:
        """Begin an answer in pieces."""
        self.begun = True
        headers = {**self.call.headers(), "content-type": media_type, "cache-control": "no-cache"}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._bounded(self._send({"type": "http.response.start", "status": 200, "headers": raw}))

    async def write(self, content: bytes, *, last: bool = False) -> None:
        """Some more of it. Returns when the connection has room; SlowReader after the time-out."""
        await self._bounded(self._send({"type": "http.response.body", "body": content, "more_body": not last}))

    async def _bounded(self, work: Awaitable[None]) -> None:
        timeout = self._limits.slow_reader_timeout
        try:
            async with asyncio.timeout(timeout):
                await work
        except TimeoutError as error:
            self._abort()  # or what it has not read keeps the connection
            raise SlowReader(f"the client did not read its response for {timeout:g} s") from error

    def _abort(self) -> None:
        abort = self.request.scope.get(ABORT)
        if abort is not None:
            abort()


Endpoint = Callable[[Exchange], Coroutine[Any, Any, None]]


class Handler:
    """An ASGI application for one path: runs an endpoint, and cancels it when the client has gone."""

    def __init__(
        self,
        endpoint: Endpoint,
        limits: ExchangeLimits,
        names: Mapping[str, str] | None = None,
        told: Callable[[Failure], Any] = lambda failure: failure.body,
    ) -> None:
        """`names`: what this endpoint calls fields that errors name as the contract does; `told`: the body of one."""
        self._told = told
        self._endpoint = endpoint
        self._limits = limits
        self._names = names or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        exchange = Exchange(Request(scope, receive), send, self._limits, self._names)
        work = asyncio.create_task(self._work(exchange), name=f"http-{exchange.call.request_id}")
        watch = asyncio.create_task(_cancel_when_gone(exchange, work), name="http-watch")
        try:
            await asyncio.wait({work})
        finally:  # also when the server is stopped, which cancels this one
            work.cancel()
            watch.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)

    async def _work(self, exchange: Exchange) -> None:
        CURRENT_REQUEST.set(exchange.call.request_id)
        try:
            exchange.call.read_deadline()
            await self._endpoint(exchange)
        except Exception as error:
            if not isinstance(error, TrivetError):
                logger.exception("request %s failed", exchange.call.request_id)
            with suppress(SlowReader):
                await self._tell(exchange, error)

    async def _tell(self, exchange: Exchange, error: Exception) -> None:
        if exchange.begun:  # whoever streams tells it in its own form
            return
        call = exchange.call
        failure = failure_of(error, call.request_id, call.receipt, exchange.names)
        await exchange.send(JSONResponse(self._told(failure), failure.status, {**call.headers(), **failure.headers}))


async def _cancel_when_gone(exchange: Exchange, work: asyncio.Task[None]) -> None:
    await exchange.read.wait()
    while (await exchange.request.receive())["type"] != "http.disconnect":
        pass
    work.cancel()
