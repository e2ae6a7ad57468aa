"""The HTTP server: uvicorn on the gateway's own event loop, with bounds on what comes before a request's body."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from trivet.http.exchange import ABORT
from trivet.rpc.server import TlsFiles, ssl_context

MOST_HEAD_BYTES = 64 << 10
HEAD_TIMEOUT = 10.0  # seconds from a connection's start, or its last response, to the end of the next request's head
BACKLOG = 2048
MOST_PIPELINED = 16  # requests that wait behind one of their connection


def _most_connections() -> int:
    """What leaves as many files of this process for everything else."""
    return min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the listener demands of its connections; seconds. `only_loopback`: it is for who is on this machine.
    `shared_port`: several processes of one server listen on it."""

    keep_alive: float = 75.0
    tls: TlsFiles | None = None
    max_connections: int = field(default_factory=_most_connections)
    only_loopback: bool = False
    shared_port: bool = False


class BoundedProtocol(HttpToolsProtocol):
    """Gives up on heads that are too long or too slow, and on too many connections or requests that wait behind one:
    uvicorn and its parser have no bounds of their own.

    The parser itself refuses a head that tells two lengths of its body (https://www.rfc-editor.org/rfc/rfc9112#section-6.3).
    """

    settings = HttpSettings()
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _unread_bytes = 0  # that came after a head and were no body
    _reading = False  # a message whose head is there
    _rest_timer: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head has its time."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.max_connections:
            self._refuse(503, "too many connections", "server_error", "unavailable")
            return
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Count what comes while a head is read, and what comes after it and is no body, such as trailers."""
        if self._refused:
            return
        if self._head_timer is not None:
            self._head_bytes += len(data)
        elif self._reading:
            self._unread_bytes += len(data)
            self._bound_rest()
        super().data_received(data)
        if max(self._head_bytes, self._unread_bytes) > MOST_HEAD_BYTES:  # the first is 0 when the head has ended
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A head begins; the first one's time runs already."""
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]
        if self._head_timer is None and not self._refused:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._end_head()
        self._reading, self._unread_bytes = True, 0
        if self._refused:
            return
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1:
            self._refuse(400, "two Host headers, expected one")
        elif self.settings.only_loopback and (not hosts or not is_loopback(hosts[0])):
            self._refuse(
                403, "without keys only a Host of this machine is served, such as localhost", code="wrong_host"
            )
        elif self.settings.only_loopback and not all(
            _is_loopback_origin(value) for name, value in self.headers if name == b"origin"
        ):
            self._refuse(403, "without keys no page of another origin is served", code="wrong_origin")
        elif len(self.pipeline) >= MOST_PIPELINED:
            self.transport.abort()
            self._refused = True
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Of a request that is served. What still comes of one that is answered has its time too."""
        self._unread_bytes = 0
        if self._refused:
            return
        self._bound_rest()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The same."""
        self._reading, self._unread_bytes = False, 0
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """A connection that ends after it is not kept by a client that does not read what is still to be sent."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_soon()

    def timeout_keep_alive_handler(self) -> None:
        """The same."""
        super().timeout_keep_alive_handler()
        self._abort_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._end_head()
        if self._rest_timer is not None:
            self._rest_timer.cancel()
        super().connection_lost(exc)

    def _bound_rest(self) -> None:
        """What still comes of a request that is answered has its time."""
        if self.cycle is not None and self.cycle.response_complete and self._rest_timer is None:
            self._rest_timer = self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def _abort_soon(self) -> None:
        self.loop.call_later(HEAD_TIMEOUT, self.transport.abort)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer, self._head_bytes = None, 0

    def _refuse(self, status: int, message: str, kind: str = "invalid_request_error", code: str = "bad_head") -> None:
        """Answer and close, whatever is still to come."""
        self._refused = True
        said = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(said)}\r\nconnection: close\r\n"
        head += "retry-after: 1\r\n" if status == 503 else ""
        self.transport.write(head.encode() + b"\r\n" + said)
        self.transport.close()
        self._abort_soon()


def is_loopback(host: bytes) -> bool:
    """Whether a Host header names this machine itself, by an address or as localhost.

    A page of another origin can have its own name lead here (DNS rebinding), but it cannot call itself localhost.
    """
    name = host.decode("latin-1").strip().lower()
    name = name.partition("]")[0][1:] if name.startswith("[") else name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _is_loopback_origin(origin: bytes) -> bool:
    """Whether an Origin header names a page of this machine: browsers send it with every request that changes anything,
    also with those that a page may make without asking (https://fetch.spec.whatwg.org/#origin-header)."""
    return is_loopback(origin.partition(b"://")[2])


class HttpListener:
    """One HTTP server on one address. `start` once, then `stop` once."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._config = uvicorn.Config(
            app,
            http=type("Protocol", (BoundedProtocol,), {"settings": settings}),
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
        bound = _bind(listen, self._settings.shared_port)
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


def _bind(listen: str, shared: bool) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(where)
        bound.listen(BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {listen}: {error.strerror}") from error
    bound.setblocking(False)
    return bound
