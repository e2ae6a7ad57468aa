"""The HTTP server: uvicorn on the gateway's own event loop, with bounds on what comes before a request's body."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trivet.rpc.server import TlsFiles, ssl_context

MOST_HEAD_BYTES = 64 << 10
HEAD_TIMEOUT = 10.0  # seconds from a connection's start, or its last response, to the end of the next request's head
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the listener demands of its connections; seconds."""

    keep_alive: float = 75.0
    tls: TlsFiles | None = None


class BoundedProtocol(HttpToolsProtocol):
    """Gives up on heads that are too long or too slow: the parser has no bound of its own."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head has its time."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is read."""
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > MOST_HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A head begins; the first one's time runs already."""
        super().on_message_begin()
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._end_head()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._end_head()
        super().connection_lost(exc)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer, self._head_bytes = None, 0


class HttpListener:
    """One HTTP server on one address. `start` once, then `stop` once."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(settings.keep_alive),
        )
        self._settings = settings
        self._server = _Server(self._config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self, listen: str) -> str:
        """Bind and serve; returns host:port with the port that was given. OSError if the address is taken."""
        bound = _bind(listen)
        self._config.load()
        if self._settings.tls is not None:
            self._config.ssl = ssl_context(self._settings.tls, ["http/1.1"])
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]), name="http-listener")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({ready, self._serving}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._serving.done():
            self._serving.result()
        return f"{listen.rpartition(':')[0]}:{bound.getsockname()[1]}"

    async def stop(self, grace: float) -> None:
        """Take no new connections; end what is still running after `grace` seconds."""
        if self._serving is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._serving}, timeout=grace)
        if not done:
            self._server.force_exit = True
            for task in list(self._server.server_state.tasks):
                task.cancel()
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
        await asyncio.gather(self._serving, return_exceptions=True)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell when it accepts connections."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the gateway's."""
        yield


def _bind(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror}") from error
    bound.setblocking(False)
    return bound
