"""A proxy before an HTTP server that breaks: it cuts, stalls or refuses connections when it is told to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

LINE = re.compile(rb"^(GET|HEAD|PUT|POST) (\S+) HTTP/1.1\r$", re.MULTILINE)
RANGE = re.compile(rb"^Range: bytes=(\d+)-\d+\r$", re.MULTILINE | re.IGNORECASE)


class CuttingProxy:
    """Forwards to `target` (host, port). `requests` are those seen: method, path, first byte of a range or None.

    `budget`: response bytes still let through before the connection is cut, None for no end. `stalled`: at the end of
    the budget nothing comes any more instead of a cut. `down`: every connection is closed at once. `on_request` is
    called before a request is forwarded.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.requests: list[tuple[str, str, int | None]] = []
        self.budget: int | None = None
        self.stalled = False
        self.down = False
        self.on_request: Callable[[str, str, int | None], None] = lambda *_: None
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self._listener.getsockname())

    def starts(self, name: str) -> list[int]:
        """The first bytes of the ranges that were asked of the object with this name, in order."""
        return [start for _, path, start in self.requests if path.endswith(name) and start is not None]

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._listener.close()
        for side in list(self._open):
            _close(side)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._open |= {client, server}
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._downwards, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                for line in LINE.finditer(data):
                    first = RANGE.search(data, line.end())
                    seen = (line[1].decode(), line[2].decode().partition("?")[0], int(first[1]) if first else None)
                    self.requests.append(seen)
                    self.on_request(*seen)
                server.sendall(data)
        except OSError:
            pass
        finally:
            _close(client, server)

    def _downwards(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := server.recv(1 << 12):
                if self.budget is not None:
                    data, self.budget = data[: self.budget], max(0, self.budget - len(data))
                client.sendall(data)
                if self.budget == 0:
                    if self.stalled:
                        self._closed.wait()
                    return
        except OSError:
            pass
        finally:
            _close(client, server)


def _close(*sides: socket.socket) -> None:
    for side in sides:
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
        side.close()
