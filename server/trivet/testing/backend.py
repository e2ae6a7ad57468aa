"""A backend without a model: says its script, at its pace, and counts what is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from trivet.errors import BackendUnavailable, NotFound
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, FinishReason, RequestedCall


class ScriptedBackend:
    """Implements `ports.Backend`. Every word of the script is one token, `interval` seconds apart."""

    def __init__(
        self, script: Sequence[str] = ("one ", "two ", "three"), *, interval: float = 0.0, name: str = "scripted"
    ) -> None:
        self.name = name
        self.block_size = 32
        self.context_tokens = 2048
        self.salts_after_prefix = True
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

    def _finish(self, request: BackendRequest) -> FinishReason:
        return FinishReason.LENGTH if len(self.script) > request.sampling.max_tokens else FinishReason.STOP

    def _cached(self, request: BackendRequest) -> int:
        """Whole blocks that an earlier request of the same salt and adapter has gone through."""
        cached = 0
        for end in range(self.block_size, len(request.token_ids) + 1, self.block_size):
            salt = request.cache_salt if end > request.unsalted_tokens or not self.salts_after_prefix else None
            key = (salt, request.adapter, request.token_ids[:end])
            if key in self._seen and end < len(request.token_ids):
                cached = end
            self._seen.add(key)
        return cached
