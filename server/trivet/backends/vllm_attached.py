"""A backend on the engine of a vLLM server that somebody else started. Source: vLLM 0.32."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from trivet.backends.engine.engine_metrics import EngineMetrics
from trivet.backends.engine.vllm_engine import VllmEngine
from trivet.backends.engine_life import EngineState
from trivet.backends.lora_registry import LoraRegistry
from trivet.backends.outputs.reader import VllmOutputs
from trivet.backends.vllm_backend import VllmBackend
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.types.generation import BackendRequest, Chunk

FIRST_ADAPTER = 1_000_000  # the server counts its own from 1


class AttachedVllm(VllmBackend):
    """Implements `ports.Backend`. It starts, ends and restarts nothing: that is the server's."""

    def __init__(
        self, llm: Any, settings: EmbeddedSettings, on_state: Callable[[EngineState], None] | None = None
    ) -> None:
        """`llm`: the server's `AsyncLLM`, on this event loop. Of the settings only what the front end needs counts."""
        super().__init__(
            settings,
            _Server(llm, settings),
            LoraRegistry(FIRST_ADAPTER),
            EngineMetrics(),  # the server has them in its own
            on_state=on_state,
            on_trial=lambda _seconds, _outcome: None,
            meter=None,
        )
        self._by_priority = llm.vllm_config.scheduler_config.policy == "priority"

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`. Priorities count if the server schedules by them; else it would refuse them."""
        if not self._by_priority:
            request = replace(request, priority=0)
        async with aclosing(super().generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk


class _Server:
    """Implements `engine_life.Start`: the engine is there."""

    def __init__(self, llm: Any, settings: EmbeddedSettings) -> None:
        self._llm = llm
        self._settings = settings

    async def run(self, loading: Callable[[], None]) -> VllmEngine:
        settings = self._settings
        outputs = VllmOutputs(self._llm)
        return _AttachedEngine(self._llm, outputs, settings.hang_timeout, settings.trials.owner_bytes)

    def clear_away(self) -> None:
        pass


class _AttachedEngine(VllmEngine):
    """Its end is not ours."""

    async def _shut_down(self) -> None:
        pass
