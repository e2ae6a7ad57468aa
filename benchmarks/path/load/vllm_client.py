"""The load generator's side of vLLM's HTTP server, given token ids, which spares it template and tokenizer."""

from __future__ import annotations

import re

from benchmarks.measuring.workload import MAX_TOKENS, MODEL_NAME, Prompt
from benchmarks.path.load.closed_loop import Answer
from benchmarks.path.load.http_streams import HttpStreams, Streamed

TEXT = re.compile(rb'"text":"')


class VllmClient:
    """Streams `/v1/completions`."""

    def __init__(self, host: str, port: int) -> None:
        self._streams = HttpStreams(host, port, TEXT)

    async def close(self) -> None:
        """Close the connections."""
        await self._streams.close()

    async def send(self, prompt: Prompt) -> Answer:
        """One streamed request, read to its end. Raises RuntimeError for anything but 200."""
        body = {
            "model": MODEL_NAME,
            "prompt": prompt.ids,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        return _answer(await self._streams.post("/v1/completions", body, {}))


def _answer(streamed: Streamed) -> Answer:
    text = "".join(choice["text"] for event in streamed.events for choice in event["choices"])
    usage = streamed.events[-1]["usage"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Answer(streamed.sent, streamed.first, streamed.end, usage["completion_tokens"], cached, text)
