"""A backend on the engine of a vLLM server that somebody else started. Source: vLLM 0.32."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from trivet.backends.answers.parser import AnswerParsers
from trivet.backends.grammars.trials import SchemaTrials
from trivet.backends.lora_registry import LoraRegistry
from trivet.backends.outputs.reader import VllmOutputs
from trivet.backends.vllm_embedded import EmbeddedVllm, EngineState
from trivet.backends.vllm_engine import VllmEngine
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.types.generation import BackendRequest, Chunk

FIRST_ADAPTER = 1_000_000  # the server counts its own from 1


class AttachedVllm(EmbeddedVllm):
    """Implements `ports.Backend`. It starts, ends and restarts nothing: that is the server's."""

    def __init__(
        self, llm: Any, settings: EmbeddedSettings, on_state: Callable[[EngineState], None] | None = None
    ) -> None:
        """`llm`: the server's `AsyncLLM`, on this event loop. Of the settings only what the front end needs counts."""
        super().__init__(settings, on_state)
        self._llm = llm
        self._loras = LoraRegistry(FIRST_ADAPTER)
        self._by_priority = llm.vllm_config.scheduler_config.policy == "priority"

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`. Priorities count if the server schedules by them; else it would refuse them."""
        if not self._by_priority:
            request = replace(request, priority=0)
        async with aclosing(super().generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _launch(self) -> tuple[VllmEngine, SchemaTrials, AnswerParsers]:
        self._enter(EngineState.STARTING)
        engine = _AttachedEngine(
            self._llm, VllmOutputs(self._llm), self._settings.hang_timeout, self._settings.trials.owner_bytes
        )
        return await self._warmed_up(engine)


class _AttachedEngine(VllmEngine):
    """Its end is not ours."""

    async def _shut_down(self) -> None:
        pass
