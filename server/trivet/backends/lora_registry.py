"""LoRA registry: which adapters the engine holds, and under which integer."""

from __future__ import annotations

from itertools import count
from typing import Any

from trivet.errors import NotFound
from trivet.types.adapter import StagedAdapter


class LoraRegistry:
    """Engine names to vLLM's `LoRARequest`s. An integer id is never given twice, not even after a failed load."""

    def __init__(self, first: int = 1) -> None:
        self._ids = count(first)
        self._resident: dict[str, Any] = {}
        self._activated: set[str] = set()

    def __contains__(self, engine_name: str) -> bool:
        return engine_name in self._resident

    def draft(self, adapter: StagedAdapter) -> Any:
        """A new `LoRARequest`, not yet in the registry."""
        from vllm.lora.request import LoRARequest

        return LoRARequest(adapter.engine_name, next(self._ids), str(adapter.path))

    def enter(self, lora: Any, adapter: StagedAdapter) -> None:
        """The engine holds it now."""
        self._resident[lora.lora_name] = lora
        if adapter.invocation:
            self._activated.add(lora.lora_name)

    def activated(self, engine_name: str) -> bool:
        """Whether a resident adapter acts from its invocation on alone."""
        return engine_name in self._activated

    def find(self, engine_name: str) -> Any:
        """The `LoRARequest` of a resident adapter; raises NotFound."""
        lora = self._resident.get(engine_name)
        if lora is None:
            raise NotFound(f"adapter {engine_name} is not resident in the engine")
        return lora

    def strike(self, engine_name: str) -> Any | None:
        """Take it out of the registry; returns its `LoRARequest`, None if it was not in."""
        self._activated.discard(engine_name)
        return self._resident.pop(engine_name, None)

    def clear(self) -> None:
        """The engine is gone, and all it held."""
        self._resident.clear()
        self._activated.clear()
