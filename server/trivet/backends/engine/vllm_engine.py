"""One running vLLM engine, from its start to its death. Source: vLLM 0.32, `vllm.v1.engine.async_llm`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.answers.parser import AnswerParser, AnswerParsers
from trivet.backends.background import in_background
from trivet.backends.engine.death_watch import DeathWatch
from trivet.backends.engine.engine_request import constrain, engine_request
from trivet.backends.engine.hang_watch import HangWatch
from trivet.backends.outputs.reader import Outputs
from trivet.errors import AdapterRejected, BackendUnavailable
from trivet.types.generation import BackendRequest
from trivet.vllm_plugin import alora, tenant_grammars
from trivet.vllm_plugin.prefix_salt import active

logger = logging.getLogger(__name__)
RETRY_AFTER = 5.0
STOP_SECONDS = 5.0
KILLED_SECONDS = 10.0
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class EngineStats:
    """`unfinished`: requests in the front end's books; `busy`: the engine process itself has work left."""

    unfinished: int
    busy: bool


class VllmEngine:
    """Wraps an `AsyncLLM`. Every call raises BackendUnavailable once the engine is dead.

    Requests take the same road as in `AsyncLLM.add_request`; where their outputs come from is `outputs`' business.
    """

    def __init__(self, llm: Any, outputs: Outputs, hang_timeout: float, grammar_bytes: int) -> None:
        """Must be made on the event loop that will use it.

        It counts as dead when it gives no sign of life for `hang_timeout` seconds. `grammar_bytes`: how much it may
        cache of the grammars of each owner of schemas.
        """
        self.block_size = int(llm.vllm_config.cache_config.block_size)
        self.context_tokens = int(llm.vllm_config.model_config.max_model_len)
        self.salts_after_prefix = _salts_after_prefix()
        self.activates = alora.active()
        _warn_of_shared_grammars()
        self._llm = llm
        self._outputs = outputs
        self._open: dict[str, Coalescer] = {}
        self._tasks: tuple[str, ...] = ()
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._processes = list(llm.engine_core.resources.engine_manager.processes)
        self._watch = DeathWatch(self._processes, self._declare_dead)
        self._hang_timeout = hang_timeout
        self._grammar_bytes = grammar_bytes
        self._hang_watch: HangWatch | None = None

    @property
    def alive(self) -> bool:
        """Not known to be dead."""
        return not self._death.done() and not self._llm.errored

    @property
    def death(self) -> asyncio.Future[str]:
        """Done, with the reason, when the engine has died."""
        return self._death

    @property
    def process_ids(self) -> list[int]:
        """Of the engine's own processes."""
        return [process.pid for process in self._processes if process.pid is not None]

    async def warm_up(self) -> None:
        """Get one token out; from now on outputs are read on this event loop."""
        from vllm import SamplingParams

        self._outputs.start(self._declare_dead)
        self._tasks = await self.call(self._llm.get_supported_tasks())
        prompt = {"type": "token", "prompt_token_ids": [0]}
        await self.call(self._drain(self._llm.generate(prompt, SamplingParams(max_tokens=1), "warm-up")))
        self._hang_watch = HangWatch(self._has_work, self._hang_timeout, self._declare_dead)

    async def answer_parsers(self, reasoning: str | None, tools: str | None) -> AnswerParsers:
        """What takes its answers apart; raises ValueError for names that do not fit."""
        return await asyncio.to_thread(_answer_parsers, self._llm.vllm_config.model_config, reasoning, tools)

    @property
    def ends_thoughts(self) -> bool:
        """Whether it can end the thinking after some tokens: it knows by which tokens."""
        config = self._llm.vllm_config.reasoning_config
        return config is not None and bool(config.enabled)

    async def vocabulary(self) -> str:
        """The tokenizer as the engine's grammar compiler sees it: xgrammar's own JSON (`TokenizerInfo`)."""
        return await asyncio.to_thread(_vocabulary, self._llm.vllm_config)

    async def submit(
        self,
        request: BackendRequest,
        lora: Any,
        schema: str | None,
        collector: Coalescer,
        parser: AnswerParser | None = None,
    ) -> str:
        """Queue a request whose outputs go to `collector`; returns the id to abort it by.

        `schema`: the JSON text that constrains the answer, tried out already. `parser`: what takes the answer apart.
        Raises InvalidRequest if vLLM refuses the request.
        """
        self._refuse_if_dead()
        prepared = engine_request(self._llm.input_processor, request, lora, parser, self._tasks)
        if schema is not None:
            constrain(prepared, request, schema, parser, self._grammar_bytes)
        self._llm.input_processor.assign_request_id(prepared)
        ticket = str(prepared.request_id)
        self._open[ticket] = collector
        try:
            self._outputs.enter(prepared, collector)
            await self._llm.engine_core.add_request_async(prepared)
            collector.handed_over = time.monotonic()
        except BaseException as problem:
            await self.release(ticket)
            if _is_engine_death(problem):
                raise self.unavailable() from problem
            raise
        return ticket

    async def release(self, ticket: str) -> None:
        """Forget a request, and abort it in the engine if it is not finished."""
        collector = self._open.pop(ticket, None)
        if collector is not None and not collector.ended and self.alive:
            with contextlib.suppress(Exception):  # the engine died meanwhile: nothing is left to abort
                await self._outputs.abort(ticket)

    async def call(self, work: Awaitable[_Result]) -> _Result:
        """Await an answer of the engine's process; vLLM's own future would never be done if it died."""
        task = asyncio.ensure_future(work)
        try:
            waited: set[asyncio.Future[Any]] = {task, self._death}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self.unavailable()
            return task.result()
        except Exception as problem:
            if _is_engine_death(problem):
                raise self.unavailable() from problem
            raise
        finally:
            task.cancel()

    def require_activation(self) -> None:
        """Raise AdapterRejected unless the engine serves activated LoRA."""
        if not self.activates:
            raise AdapterRejected(
                "the engine does not serve activated LoRA (aLoRA): it needs Trivet's plugin trivet_alora, which was "
                f"checked for vLLM {', '.join(alora.CHECKED_VERSIONS)} (install Trivet again so that its entry points "
                "are known, and see that VLLM_PLUGINS does not leave it out)"
            )

    async def add_lora(self, lora: Any) -> bool:
        """Load a LoRA adapter (`vllm.lora.request.LoRARequest`); raises what vLLM raises."""
        return bool(await self.call(self._llm.add_lora(lora)))

    async def remove_lora(self, integer_id: int) -> bool:
        """Forget a LoRA adapter."""
        return bool(await self.call(self._llm.remove_lora(integer_id)))

    async def stats(self) -> EngineStats:
        """What is still in the works."""
        busy = await self.call(self._has_work())
        return EngineStats(unfinished=self._outputs.unfinished, busy=bool(busy))

    async def stop(self) -> None:
        """End the engine's processes and free what it holds; fine on a dead one."""
        self._watch.close()
        if self._hang_watch is not None:
            self._hang_watch.close()
        self._declare_dead("it was stopped")
        self._outputs.close()
        await self._shut_down()

    async def _shut_down(self) -> None:
        await in_background(self._end_processes, "vllm-shutdown")
        # AsyncLLM's finaliser shuts down again, and complains when the interpreter is half gone by then.
        self._llm.shutdown = _nothing

    def _end_processes(self) -> None:
        self._llm.shutdown(timeout=STOP_SECONDS)
        # vLLM kills who is left and does not wait: the next engine would start while the last one's memory is in use.
        deadline = time.monotonic() + KILLED_SECONDS
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))

    def unavailable(self) -> BackendUnavailable:
        """The error that every caller gets once the engine is dead."""
        reason = self._death.result() if self._death.done() else "it stopped answering"
        return BackendUnavailable(f"the engine died: {reason}", RETRY_AFTER)

    async def _has_work(self) -> object:
        """The engine process answers between two steps."""
        return await self._llm.engine_core.call_utility_async("has_work")

    def _declare_dead(self, reason: str) -> None:
        if self._death.done():
            return
        self._death.set_result(reason)
        for collector in self._open.values():
            collector.put(self.unavailable())

    def _refuse_if_dead(self) -> None:
        if not self.alive:
            raise self.unavailable()

    @staticmethod
    async def _drain(outputs: Any) -> None:
        async for _ in outputs:
            pass


def _nothing() -> None:
    pass


def _salts_after_prefix() -> bool:
    """vLLM loads the same plugins here and in the engine's process."""
    from vllm.v1.core import kv_cache_utils

    return active(kv_cache_utils)


def _warn_of_shared_grammars() -> None:
    from vllm.v1.structured_output import StructuredOutputManager

    if not tenant_grammars.active(StructuredOutputManager):
        logger.warning(
            "this version of vLLM compiles JSON schemas once for all tenants: the time of an answer tells whether "
            "others use the same one (checked versions: %s)",
            ", ".join(tenant_grammars.CHECKED_VERSIONS),
        )


def _is_engine_death(problem: BaseException) -> bool:
    from vllm.v1.engine.exceptions import EngineDeadError

    return isinstance(problem, EngineDeadError)


def _answer_parsers(model_config: Any, reasoning: str | None, tools: str | None) -> AnswerParsers:
    from vllm.tokenizers import cached_tokenizer_from_config

    return AnswerParsers(cached_tokenizer_from_config(model_config), model_config, reasoning, tools)


def _vocabulary(config: Any) -> str:
    """vLLM makes it when the first schema comes, in its own way for each kind of tokenizer; so does this."""
    from vllm.tokenizers import cached_tokenizer_from_config
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions
    from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend

    model = config.model_config
    backend = XgrammarBackend(config, cached_tokenizer_from_config(model), model.get_vocab_size())
    grammar = backend.compile_grammar(StructuredOutputOptions.JSON, '{"type":"null"}')
    return str(grammar.ctx.tokenizer_info.serialize_json())
