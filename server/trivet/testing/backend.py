"""A backend without a model: says its script, at its pace, and counts what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from trivet.errors import BackendUnavailable, NotFound
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import (
    BackendRequest,
    CallDelta,
    Chunk,
    FinishReason,
    Logprob,
    RequestedCall,
    TokenLogprob,
)


class ScriptedBackend:
    """Implements `ports.Backend`. Every word of the script is one token, `interval` seconds apart."""

    def __init__(
        self, script: Sequence[str] = ("one ", "two ", "three"), *, interval: float = 0.0, name: str = "scripted"
    ) -> None:
        self.name = name
        self.block_size = 32
        self.context_tokens = 2048
        self.salts_after_prefix = True
        self.keeps_prefixes = True
        self.ready = True
        self.incarnation = 1
        self.script = list(script)
        self.thoughts: tuple[str, ...] = ()  # a token each, before the script
        self.tool_calls: tuple[RequestedCall, ...] = ()
        self.interval = interval
        self.in_flight = 0
        self.aborted = 0
        self.requests: list[BackendRequest] = []
        self.resident: set[str] = set()
        self._seen: set[tuple[str | None, str | None, tuple[int, ...]]] = set()

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """No schema constrains a script."""
        return True

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        """No schema constrains a script."""

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """Say the script; dies with BackendUnavailable as soon as `ready` is false."""
        if request.adapter is not None and request.adapter not in self.resident:
            raise NotFound(f"adapter {request.adapter} is not resident")
        self.requests.append(request)
        self.in_flight += 1
        finished = False
        try:
            cached = self._cached(request)
            words = [*self.thoughts, *self.script][: request.sampling.max_tokens]
            for position, word in enumerate(words):
                if self.interval:
                    await asyncio.sleep(self.interval)
                if not self.ready:
                    raise BackendUnavailable("the scripted engine is down")
                last = position == len(words) - 1
                finished = last
                thought = position < len(self.thoughts)
                yield Chunk(
                    text="" if thought else word,
                    reasoning=word if thought else "",
                    reasoning_tokens=len(self.thoughts) if last and self.thoughts else None,
                    tool_calls=self.tool_calls if last else (),
                    call_deltas=self._call_deltas() if last else (),
                    logprobs=_logprobs(word, request.sampling.top_logprobs),
                    tokens=1,
                    engine_at=asyncio.get_running_loop().time(),
                    finish=self._finish(request) if last else None,
                    input_tokens=len(request.token_ids),
                    cached_tokens=cached,
                )
        finally:
            self.in_flight -= 1
            self.aborted += not finished

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """Make it resident."""
        self.resident.add(adapter.engine_name)

    async def unload_adapter(self, engine_name: str) -> None:
        """Forget it."""
        self.resident.discard(engine_name)

    def _call_deltas(self) -> tuple[CallDelta, ...]:
        """Each call in two pieces."""
        pieces: list[CallDelta] = []
        for index, call in enumerate(self.tool_calls):
            middle = len(call.arguments) // 2
            pieces.append(CallDelta(index, call.name, call.id, call.arguments[:middle]))
            pieces.append(CallDelta(index, arguments=call.arguments[middle:]))
        return tuple(pieces)

    def _finish(self, request: BackendRequest) -> FinishReason:
        return FinishReason.LENGTH if len(self.script) > request.sampling.max_tokens else FinishReason.STOP

    def _cached(self, request: BackendRequest) -> int:
        """Whole blocks that an earlier request of the same salt and adapter has gone through.

        Those before an activated LoRA acts are the base's.
        """
        cached = 0
        for end in range(self.block_size, len(request.token_ids) + 1, self.block_size):
            salt = request.cache_salt if end > request.unsalted_tokens or not self.salts_after_prefix else None
            based = request.activated_from is not None and end <= request.activated_from
            key = (salt, None if based else request.adapter, request.token_ids[:end])
            if key in self._seen and end < len(request.token_ids):
                cached = end
            self._seen.add(key)
        return cached


def _logprobs(word: str, top: int | None) -> tuple[TokenLogprob, ...]:
    """Of a word that was as likely as not, and of others that were less."""
    if top is None:
        return ()
    others = (Logprob(word if not rank else f"other {rank}", -1.0 - rank) for rank in range(top))
    return (TokenLogprob(Logprob(word, -1.0), tuple(others)),)
