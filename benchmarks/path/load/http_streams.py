"""Streamed answers over HTTP: one kept connection per stream, next to no parsing before the answer has ended."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

END = b"0\r\n\r\n"  # of a chunked body
LINE = b"\r\n"


@dataclass(frozen=True, slots=True)
class Streamed:
    """One answer as it came: `time.perf_counter()` at its sending, its first text and its end, and its events."""

    sent: float
    first: float
    end: float
    events: list[dict[str, Any]]


class HttpStreams:
    """Connections to one server. `text`: what the first piece of text looks like in a response."""

    def __init__(self, host: str, port: int, text: re.Pattern[bytes]) -> None:
        self._host, self._port, self._text = host, port, text
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()

    async def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Streamed:
        """One request, its response read to its end. Raises RuntimeError for anything but 200."""
        request = self._request(path, json.dumps(body).encode(), headers)
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        sent = time.perf_counter()
        writer.write(request)
        response, first = bytearray(), 0.0
        while not response.endswith(END):
            piece = await reader.read(1 << 16)
            if not piece:
                raise RuntimeError(f"the connection ended after {bytes(response[-300:])!r}")
            response += piece
            if not first and self._text.search(response):
                first = time.perf_counter()
            if not first and not response.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {bytes(response[:600])!r}")
        end = time.perf_counter()
        self._idle.append(connection)
        return Streamed(sent, first, end, _events(_unchunked(bytes(response))))

    def _request(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _unchunked(response: bytes) -> bytes:
    """The body of a response in chunks: their lengths stand between them, perhaps in the middle of an event."""
    position = response.index(LINE + LINE) + 4
    pieces: list[bytes] = []
    while True:
        line_end = response.index(LINE, position)
        length = int(response[position:line_end].partition(b";")[0], 16)
        if not length:
            return b"".join(pieces)
        begin = line_end + len(LINE)
        pieces.append(response[begin : begin + length])
        position = begin + length + len(LINE)


def _events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
