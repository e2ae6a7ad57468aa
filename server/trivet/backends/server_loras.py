"""LoRA adapters that a vLLM server loads for its own clients, beside those of gateways.

vLLM's own unloading forgets a name and frees nothing; its loading takes whatever place there is, and pushes out what
was used longest ago; loading in place answers from KV blocks of the old weights. Source: vLLM 0.32,
`vllm.entrypoints.openai.models.serving.OpenAIServingModels`, https://github.com/vllm-project/vllm/issues/54839.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from http import HTTPStatus
from typing import Any, Protocol

from trivet.errors import FailedPrecondition, Overloaded

logger = logging.getLogger(__name__)
POLL_SECONDS = 0.05


class Places(Protocol):
    """The places for adapters in the engine's memory, of which gateways have the rest."""

    async def occupy(self, holder: str) -> None:
        """Take one, until it is vacated. Raises Overloaded while all are taken by adapters in use."""
        ...

    def vacate(self, holder: str) -> None:
        """Give it back; fine if there is none."""
        ...


class ServerLoras:
    """Takes the place of a server's loading and unloading, whichever of its HTTP routes asks for them."""

    def __init__(self, models: Any, llm: Any, places: Places) -> None:
        """`models`: the server's `OpenAIServingModels`; `llm`: its `AsyncLLM`. Raises FailedPrecondition for a server
        that resolves adapters by itself, whose number nothing bounds."""
        if models.lora_resolvers:
            raise FailedPrecondition(
                "the server resolves LoRA adapters by itself (VLLM_LORA_RESOLVER_CACHE_DIR or another resolver): "
                "expected no resolver"
            )
        self._models = models
        self._llm = llm
        self._places = places
        self._numbers = itertools.count(1)
        self._holders: dict[int, str] = {}  # by the adapter's integer id
        self._loading = asyncio.Lock()
        self._load, self._unload = models.load_lora_adapter, models.unload_lora_adapter
        self._removals: set[asyncio.Task[None]] = set()
        models.load_lora_adapter, models.unload_lora_adapter = self.load, self.unload

    async def load(self, request: Any, base_model_name: str | None = None) -> Any:
        """In place of `load_lora_adapter`: with a place of its own, and never over another one."""
        if request.load_inplace:
            return _refusal(
                "load_inplace would answer from the KV cache of the old weights: load them under another name",
                HTTPStatus.BAD_REQUEST,
            )
        async with self._loading:
            if request.lora_name in self._models.lora_requests:
                return await self._load(request, base_model_name)  # which refuses it
            holder = f"server-{next(self._numbers)}"
            try:
                await self._places.occupy(holder)
            except Overloaded as problem:
                return _refusal(str(problem), HTTPStatus.TOO_MANY_REQUESTS)
            given = self._models.lora_id_counter.value
            try:
                answer = await self._load(request, base_model_name)
            finally:
                loaded = self._models.lora_requests.get(request.lora_name)
                if loaded is None:
                    await self._undo(given)
                    self._places.vacate(holder)
                else:
                    self._holders[loaded.lora_int_id] = holder
            return answer

    async def unload(self, request: Any) -> Any:
        """In place of `unload_lora_adapter`: returns when the engine does not hold it any more, which is after the
        requests that use it."""
        lora = self._models.lora_requests.get(request.lora_name)
        answer = await self._unload(request)
        if lora is not None and request.lora_name not in self._models.lora_requests:
            removal = asyncio.create_task(self._remove(lora.lora_int_id))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)
            await asyncio.shield(removal)
        return answer

    async def _remove(self, integer_id: int) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)  # a request that has just found it comes to the engine by then
            if not self._in_use(integer_id):
                break
        await self._llm.remove_lora(integer_id)
        self._places.vacate(self._holders.pop(integer_id, ""))

    def _in_use(self, integer_id: int) -> bool:
        states = self._llm.output_processor.request_states.values()
        return any(one.lora_request is not None and one.lora_request.lora_int_id == integer_id for one in states)

    async def _undo(self, given: int) -> None:
        """A failed load can leave its id in the engine."""
        tried = self._models.lora_id_counter.value
        if tried != given:
            with contextlib.suppress(Exception):
                await self._llm.remove_lora(tried)


def _refusal(message: str, status: HTTPStatus) -> Any:
    from vllm.entrypoints.serve import create_error_response

    return create_error_response(message=message, err_type="InvalidUserInput", status_code=status)
