"""An endpoint with OpenAI's API that answers as a test says, byte by byte, on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from trivet.backends.openai import EndpointSettings

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
IDS = (7, 8, 9)
Script = Callable[[asyncio.StreamWriter], Awaitable[None]]


def event(**fields: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def said(text: str, finish: str | None = None, **fields: Any) -> bytes:
    """One event of a chat that says this."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **fields)


DONE = b"data: [DONE]\n\n"
USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2})
WHOLE = HEAD + said("one ") + said("two", "stop") + USAGE + DONE


def answers(*pieces: bytes) -> Script:
    """Write these and close."""

    async def write(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return write


def status(code: int, body: Mapping[str, Any] | None = None, **headers: str) -> Script:
    """A short answer."""
    text = json.dumps(body or {}).encode()
    lines = [f"HTTP/1.1 {code} x", f"content-length: {len(text)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return answers("\r\n".join(lines).encode() + b"\r\n\r\n" + text)


@dataclass
class Endpoint:
    """`scripts`: for each generation in turn, the last one for all that follow. `refused`: a field, and what those that
    have it get instead. `asked`: path, headers and body."""

    url: str = ""
    scripts: list[Script] = field(default_factory=lambda: [answers(WHOLE)])
    models: Script = field(default_factory=lambda: status(200, {"data": [{"id": "m", "max_model_len": 512}]}))
    tokenize: Script = field(default_factory=lambda: status(404))
    health: Script = field(default_factory=lambda: status(404))
    refused: tuple[str, Script] | None = None
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """A client has closed its connection before the answer's end."""

    @property
    def generations(self) -> list[dict[str, Any]]:
        """The bodies of what was to be answered."""
        return [body for path, _, body in self.asked if path.endswith("completions")]

    def settings(self, **changes: Any) -> EndpointSettings:
        """How to ask it."""
        given: dict[str, Any] = {
            "name": "api",
            "url": self.url,
            "served_model": "m",
            "tokenize": lambda _: IDS,
            "read_key": lambda: "sk-test",
        }
        return EndpointSettings(**(given | changes))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            path = first.split()[1]
            self.asked.append((path, headers, json.loads(body) if body else {}))
            answering = asyncio.ensure_future(self._script(path, self.asked[-1][2])(writer))
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.left.set()
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        writer.close()

    def _script(self, path: str, body: Mapping[str, Any]) -> Script:
        if self.refused is not None and self.refused[0] in body:
            return self.refused[1]
        if path.endswith("completions"):
            return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        return {"models": self.models, "tokenize": self.tokenize}.get(path.rpartition("/")[2], self.health)


@asynccontextmanager
async def endpoint() -> AsyncIterator[Endpoint]:
    """One that answers well until it is told otherwise."""
    served = Endpoint()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield served
    finally:
        server.close()
        server.close_clients() if hasattr(server, "close_clients") else None
