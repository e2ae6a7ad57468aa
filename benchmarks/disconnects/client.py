"""A client over HTTP that asks and leaves, on a plain socket: nothing but `close` is between it and the network."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from typing import Any

TIMEOUT = 30.0


class Leaving:
    """One request to `address` (host:port). `sent` and `closed` are `time.perf_counter()`."""

    def __init__(self, address: str, route: str, text: str, *, stream: bool, tokens: int, request_id: str) -> None:
        host, _, port = address.rpartition(":")
        body = json.dumps(
            {
                "model": route,
                "messages": [{"role": "user", "content": text}],
                "max_tokens": tokens,
                "stream": stream,
            }
        ).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        head += f"x-request-id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request_id = request_id
        self.closed = 0.0
        self._socket = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        self.sent = time.perf_counter()
        self._socket.sendall(head.encode() + body)

    def read_events(self, number: int) -> None:
        """Until so many server-sent events have come. Raises RuntimeError if the response is none or ends before."""
        read = b""
        while read.count(b"data: {") < number:
            piece = self._socket.recv(1 << 16)
            if not piece or not (read + piece).startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused or ended: {(read + piece)[-300:]!r}")
            read += piece

    def leave(self) -> None:
        """Close the connection."""
        self.closed = time.perf_counter()
        self._socket.close()


def receipt(address: str, request_id: str, timeout: float = 5.0) -> dict[str, Any]:
    """The receipt of an earlier request, waited for. Raises TimeoutError."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{address}/v1/receipts/{request_id}", timeout=timeout) as answer:
                found: dict[str, Any] = json.loads(answer.read())["receipt"]
                return found
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
        time.sleep(0.01)
    raise TimeoutError(f"no receipt of {request_id} within {timeout:g} s")
