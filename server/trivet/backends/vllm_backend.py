"""Answering on a vLLM engine, whoever starts it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from functools import partial
from typing import Any

from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.answers.pacer import Pacer
from trivet.backends.engine.engine_metrics import EngineMetrics
from trivet.backends.engine.vllm_engine import EngineStats, VllmEngine
from trivet.backends.engine_life import EngineLife, EngineState, Start
from trivet.backends.grammars.trials import OnTrial
from trivet.backends.lora_registry import LoraRegistry
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.errors import AdapterRejected, BackendUnavailable, GenerationFailed, InvalidRequest, PromptTooLong
from trivet.ports import MachineMeter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, MachineState

_MACHINE = {
    EngineState.STOPPED: MachineState.DOWN,
    EngineState.STARTING: MachineState.STARTING,
    EngineState.LOADING: MachineState.STARTING,
    EngineState.READY: MachineState.UP,
    EngineState.DEAD: MachineState.DOWN,
}


class VllmBackend:
    """Implements `ports.Backend`. Call everything from one event loop."""

    def __init__(
        self,
        settings: EmbeddedSettings,
        start: Start,
        loras: LoraRegistry,
        metrics: EngineMetrics,
        *,
        on_state: Callable[[EngineState], None] | None,
        on_trial: OnTrial,
        meter: MachineMeter | None,
    ) -> None:
        """`start`: where its engines come from. `metrics`: the running one's own. `on_state` is told of each new state,
        `on_trial` of each schema that was tried out (see `SchemaTrials`). `meter`, with `settings.count_steps`, shares
        out the machine's time."""
        self.block_size = settings.block_size or 16
        self.context_tokens = settings.max_model_len or 0
        self.salts_after_prefix = False
        self.keeps_prefixes = True
        self.metrics = metrics
        self._settings = settings
        self._on_state = on_state
        self._meter = meter
        self._numbers = itertools.count()
        self._pacer = Pacer()
        self._loras = loras
        self._adapter_changes = asyncio.Lock()
        self._life = EngineLife(settings, start, on_state=self._entered, on_end=self._ended, on_trial=on_trial)

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._settings.name

    @property
    def state(self) -> EngineState:
        """Where its engine is in its life."""
        return self._life.state

    @property
    def ready(self) -> bool:
        """The engine is alive and takes requests."""
        return self._life.ready

    @property
    def incarnation(self) -> int:
        """See `ports.Backend.incarnation`."""
        return self._life.incarnation

    @property
    def process_ids(self) -> list[int]:
        """Of the engine's processes; empty when there is none."""
        return self._life.engine.process_ids if self._life.engine else []

    @property
    def schemas_waiting(self) -> int:
        """Schemas that wait for their trial."""
        return self._life.companions.trials.waiting if self._life.companions else 0

    async def start(self) -> None:
        """See `EngineLife.start`."""
        await self._life.start()

    async def close(self) -> None:
        """See `EngineLife.close`."""
        await self._life.close()

    async def death(self) -> str:
        """See `EngineLife.death`."""
        return await self._life.death()

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """See `ports.Backend.schema_known`."""
        return self._life.companions is not None and self._life.companions.trials.known(schema, owner)

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        """See `ports.Backend.admit_schema`."""
        await self._life.running()[1].trials.admit(schema, owner)

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`. Also raises PromptTooLong, and InvalidRequest for what vLLM refuses."""
        engine, companions = self._life.running()
        lora = None if request.adapter is None else self._loras.find(request.adapter)
        length = len(request.token_ids)
        if request.adapter is not None and self._loras.activated(request.adapter) is (request.activated_from is None):
            raise InvalidRequest(
                {"messages": f"it is not said where adapter {request.adapter} is invoked, or it has no invocation"}
            )
        if not length:
            raise InvalidRequest({"messages": "the prompt is empty"})
        if length >= self.context_tokens:
            raise PromptTooLong(f"the prompt has {length} tokens, and the context {self.context_tokens}")
        if request.sampling.max_reasoning_tokens is not None and not engine.ends_thoughts:
            told = f"backend {self.name} cannot end thoughts, expected a reasoning_parser that tells where they end"
            raise InvalidRequest({"max_reasoning_tokens": told})
        loop = asyncio.get_running_loop()
        parser = await companions.parsers.made_for(request)
        key = next(self._numbers)
        tell = None if self._meter is None else partial(self._meter.output, key)
        top = request.sampling.top_logprobs
        collector = Coalescer(loop, self._pacer, request.pace, length, parser, tell, top)
        schema = None
        if request.json_schema is not None:
            schema = await self._life.running()[1].trials.admit(request.json_schema, request.schema_owner)
        async with contextlib.AsyncExitStack() as turn:
            if schema is not None:
                started = loop.time()
                await turn.enter_async_context(companions.turns.compiling(schema, request.schema_owner))
                collector.waited = loop.time() - started
            with self._metered(key, request):
                ticket = await engine.submit(request, lora, schema, collector, parser)
                self._pacer.enter()
                try:
                    first = await _next_chunk(engine, collector)
                    await turn.aclose()
                    yield first
                    while not collector.finished:
                        yield await _next_chunk(engine, collector)
                finally:
                    self._pacer.leave(collector)
                    unread = collector.unread()
                    if unread is not None:
                        request.on_unread(unread)
                    await engine.release(ticket)

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """Make it resident under its engine name; raises AdapterRejected if the engine refuses it."""
        await asyncio.shield(asyncio.ensure_future(self._load(adapter)))

    async def unload_adapter(self, engine_name: str) -> None:
        """Forget it. The caller has drained it; no error if it was not resident, or if the engine is dead."""
        async with self._adapter_changes:
            lora = self._loras.strike(engine_name)
            if lora is not None and self._life.engine is not None:
                with contextlib.suppress(BackendUnavailable):
                    await self._life.engine.remove_lora(lora.lora_int_id)

    async def stats(self) -> EngineStats:
        """The engine's own view of what is unfinished; raises BackendUnavailable."""
        return await self._life.running()[0].stats()

    @contextlib.contextmanager
    def _metered(self, key: int, request: BackendRequest) -> Iterator[None]:
        """Around a request's life in the engine."""
        meter = self._meter
        if meter is None:
            yield
            return
        meter.begin(key, request.account, len(request.token_ids), time.monotonic_ns())
        try:
            yield
        finally:
            charge = meter.end(key, time.monotonic_ns())
            if charge is not None:
                request.on_charge(charge)

    def _stepped(self, prompt_tokens: int) -> None:
        if self._meter is not None:
            self._meter.step(prompt_tokens, time.monotonic_ns())

    async def _load(self, adapter: StagedAdapter) -> None:
        """Not to be cancelled half-way: the engine would hold what the registry does not know."""
        async with self._adapter_changes:
            engine = self._life.running()[0]
            if adapter.engine_name in self._loras:
                return
            if adapter.invocation:
                engine.require_activation()
            lora = self._loras.draft(adapter)
            try:
                added = await engine.add_lora(lora)
            except BackendUnavailable:
                raise
            except Exception as problem:
                await self._undo(engine, lora)
                raise AdapterRejected(f"the engine refuses {adapter.engine_name}: {problem}") from problem
            if not added:
                await self._undo(engine, lora)
                raise AdapterRejected(f"the engine refuses {adapter.engine_name} without a reason")
            if engine is self._life.engine and engine.alive:
                self._loras.enter(lora, adapter)

    @staticmethod
    async def _undo(engine: VllmEngine, lora: Any) -> None:
        """A failed add can leave the id registered."""
        with contextlib.suppress(Exception):
            await engine.remove_lora(lora.lora_int_id)

    def _entered(self, state: EngineState) -> None:
        engine = self._life.engine
        if state is EngineState.READY and engine is not None:
            self.block_size, self.context_tokens = engine.block_size, engine.context_tokens
            self.salts_after_prefix = engine.salts_after_prefix
        if self._meter is not None:
            self._meter.enter(_MACHINE[state], time.monotonic_ns())
        if self._on_state is not None:
            self._on_state(state)

    def _ended(self) -> None:
        self._loras.clear()
        self.metrics.drop()


async def _next_chunk(engine: VllmEngine, collector: Coalescer) -> Chunk:
    try:
        return await collector.get()
    except GenerationFailed:
        raise
    except Exception as problem:
        raise engine.unavailable() from problem
