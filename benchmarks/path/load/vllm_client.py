"""The load generator's side of vLLM's HTTP server: one kept connection per stream, next to no parsing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from benchmarks.measuring.workload import MAX_TOKENS, MODEL_NAME, Prompt
from benchmarks.path.load.closed_loop import Answer

END = b"0\r\n\r\n"  # of a chunked body
TEXT = b'"text":"'


class VllmClient:
    """Streams `/v1/completions` with token ids in, which spares the server template and tokenizer."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()

    async def send(self, prompt: Prompt) -> Answer:
        """One streamed request, read to its end. Raises RuntimeError for anything but 200."""
        request = self._request(prompt)
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        reader, writer = connection
        sent = time.perf_counter()
        writer.write(request)
        body, first = bytearray(), 0.0
        while not body.endswith(END):
            piece = await reader.read(1 << 16)
            if not piece:
                raise RuntimeError(f"the connection ended after {bytes(body[-300:])!r}")
            body += piece
            if not first and TEXT in body:
                first = time.perf_counter()
            if not first and not body.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {bytes(body[:300])!r}")
        end = time.perf_counter()
        self._idle.append(connection)
        return _answer(bytes(body), sent, first, end)

    def _request(self, prompt: Prompt) -> bytes:
        body = json.dumps(
            {
                "model": MODEL_NAME,
                "prompt": prompt.ids,
                "max_tokens": MAX_TOKENS,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _answer(body: bytes, sent: float, first: float, end: float) -> Answer:
    events: list[dict[str, Any]] = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    text = "".join(choice["text"] for event in events for choice in event["choices"])
    usage = events[-1]["usage"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Answer(sent, first, end, usage["completion_tokens"], cached, text)
