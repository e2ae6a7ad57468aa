"""The load generator's side of any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import re
from typing import Any

from benchmarks.measuring.workload import MAX_TOKENS, Prompt
from benchmarks.path.load.closed_loop import Answer
from benchmarks.path.load.http_streams import HttpStreams, Streamed

TEXT = re.compile(rb'"content": ?"[^"]')  # some begin with an event whose text is empty


class ChatClient:
    """Streams `/v1/chat/completions`. `turns` go before each prompt's own text: what the server does not add itself."""

    def __init__(self, host: str, port: int, model: str, turns: list[dict[str, str]], key: str = "") -> None:
        self._streams = HttpStreams(host, port, TEXT)
        self._model = model
        self._turns = turns
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def close(self) -> None:
        """Close the connections."""
        await self._streams.close()

    async def send(self, prompt: Prompt) -> Answer:
        """One streamed request, read to its end. Raises RuntimeError for anything but 200."""
        body = {
            "model": self._model,
            "messages": [*self._turns, {"role": "user", "content": prompt.text}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return _answer(await self._streams.post("/v1/chat/completions", body, self._headers))


def _answer(streamed: Streamed) -> Answer:
    usage: dict[str, Any] = {}
    pieces = []
    for event in streamed.events:
        if "error" in event:
            raise RuntimeError(f"the stream ended with {event['error']}")
        pieces += [choice["delta"].get("content") or "" for choice in event["choices"]]
        usage = event.get("usage") or usage
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    text = "".join(pieces)
    return Answer(streamed.sent, streamed.first, streamed.end, usage["completion_tokens"], cached, text)
