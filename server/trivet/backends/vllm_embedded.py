"""The embedded backend: vLLM in this process, its engine in a child of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any

from trivet.backends.answers.coalescing import Coalescer
from trivet.backends.answers.pacer import Pacer
from trivet.backends.answers.parser import AnswerParsers
from trivet.backends.background import in_background
from trivet.backends.engine_metrics import EngineMetrics
from trivet.backends.engine_sockets import EngineSockets
from trivet.backends.grammars.engine_turns import EngineTurns
from trivet.backends.grammars.process import CompilerProcess, write_vocabulary
from trivet.backends.grammars.trials import OnTrial, SchemaTrials
from trivet.backends.launch.failure import log_size, told_failure
from trivet.backends.launch.host import EngineHost
from trivet.backends.lora_registry import LoraRegistry
from trivet.backends.outputs.reader import outputs_of
from trivet.backends.vllm_engine import RETRY_AFTER, EngineStats, VllmEngine
from trivet.backends.vllm_launch import Launch
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.errors import AdapterRejected, BackendUnavailable, GenerationFailed, InvalidRequest, PromptTooLong
from trivet.ports import MachineMeter
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, MachineState

COMPILERS = 2  # one is left to other tenants


class EngineState(Enum):
    """Where the engine is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    DEAD = "dead"


_MACHINE = {
    EngineState.STOPPED: MachineState.DOWN,
    EngineState.STARTING: MachineState.STARTING,
    EngineState.LOADING: MachineState.STARTING,
    EngineState.READY: MachineState.UP,
    EngineState.DEAD: MachineState.DOWN,
}


class EmbeddedVllm:
    """Implements `ports.Backend`. Call everything from one event loop; `on_state` is told of each new state there.

    `on_trial` is told of each schema that was tried out (see `SchemaTrials`).
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        on_state: Callable[[EngineState], None] | None = None,
        on_trial: OnTrial = lambda _seconds, _outcome: None,
        meter: MachineMeter | None = None,
        host: EngineHost | None = None,
    ) -> None:
        """`meter`, with `settings.count_steps`, shares out the machine's time. `host` starts the engine on a CPU,
        unless it has ended."""
        self.block_size = settings.block_size or 16
        self.context_tokens = settings.max_model_len or 0
        self.salts_after_prefix = False
        self.keeps_prefixes = True
        self.incarnation = 0
        self.state = EngineState.STOPPED
        self.metrics = EngineMetrics()
        self.host = host
        self._settings = settings
        self._sockets = EngineSockets(settings.cache_folder, settings.name)
        self._on_state = on_state
        self._on_trial = on_trial
        self._meter = meter
        self._numbers = itertools.count()
        self._pacer = Pacer()
        self._engine: VllmEngine | None = None
        self._engine_turns = EngineTurns()
        self._trials: SchemaTrials | None = None  # as old as the engine, which has what they found harmless
        self._parsers: AnswerParsers | None = None
        self._abandoned: asyncio.Future[Any] | None = None
        self._loras = LoraRegistry()
        self._lifecycle = asyncio.Lock()
        self._adapter_changes = asyncio.Lock()

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._settings.name

    @property
    def ready(self) -> bool:
        """The engine is alive and takes requests."""
        return self.state is EngineState.READY and self._engine is not None and self._engine.alive

    @property
    def process_ids(self) -> list[int]:
        """Of the engine's processes; empty when there is none."""
        return self._engine.process_ids if self._engine else []

    @property
    def schemas_waiting(self) -> int:
        """Schemas that wait for their trial."""
        return self._trials.waiting if self._trials else 0

    async def start(self) -> None:
        """Start the engine, also after it died; nothing to do if it is ready.

        Raises BackendUnavailable if it does not come up. Cancelling it kills what it had started.
        """
        async with self._lifecycle:
            if self.ready:
                return
            await self._discard()
            gc.collect()  # former engines, and starts that failed, are cycles that hold sockets and pipes
            written = log_size(self._settings.log_file)
            try:
                engine, trials, parsers = await self._launch()
            except asyncio.CancelledError:
                self._enter(EngineState.STOPPED)
                raise
            except Exception as problem:
                self._enter(EngineState.DEAD)
                cause = told_failure(problem, self._settings.log_file, written)
                raise BackendUnavailable(f"the engine {self.name} did not start: {cause}", RETRY_AFTER) from problem
            self._engine, self._trials, self._engine_turns = engine, trials, EngineTurns()
            self._parsers = parsers
            self.block_size, self.context_tokens = engine.block_size, engine.context_tokens
            self.salts_after_prefix = engine.salts_after_prefix
            self.incarnation += 1
            self._enter(EngineState.READY)
            engine.death.add_done_callback(lambda _: self._died(engine))

    async def close(self) -> None:
        """End the engine; what is in flight fails with BackendUnavailable."""
        async with self._lifecycle:
            self._enter(EngineState.STOPPED)
            await self._discard()

    async def death(self) -> str:
        """Wait until the running engine dies; returns the reason. Raises BackendUnavailable if none runs."""
        if self._engine is None:
            raise self._unavailable()
        return await asyncio.shield(self._engine.death)

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """See `ports.Backend.schema_known`."""
        return self._trials is not None and self._trials.known(schema, owner)

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        """See `ports.Backend.admit_schema`."""
        await self._admitted(schema, owner)

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`. Also raises PromptTooLong, and InvalidRequest for what vLLM refuses."""
        engine = self._running()
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
        parser = None if self._parsers is None else await self._parsers.made_for(request)
        key = next(self._numbers)
        tell = None if self._meter is None else partial(self._meter.output, key)
        top = request.sampling.top_logprobs
        collector = Coalescer(loop, self._pacer, request.pace, length, parser, tell, top)
        schema = None
        if request.json_schema is not None:
            schema = await self._admitted(request.json_schema, request.schema_owner)
        async with contextlib.AsyncExitStack() as turn:
            if schema is not None:
                started = loop.time()
                await turn.enter_async_context(self._engine_turns.compiling(schema, request.schema_owner))
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
            if lora is not None and self._engine is not None:
                with contextlib.suppress(BackendUnavailable):
                    await self._engine.remove_lora(lora.lora_int_id)

    async def stats(self) -> EngineStats:
        """The engine's own view of what is unfinished; raises BackendUnavailable."""
        return await self._running().stats()

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

    async def _admitted(self, schema: Mapping[str, Any], owner: str) -> str:
        self._running()
        assert self._trials is not None
        return await self._trials.admit(schema, owner)

    async def _load(self, adapter: StagedAdapter) -> None:
        """Not to be cancelled half-way: the engine would hold what the registry does not know."""
        async with self._adapter_changes:
            engine = self._running()
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
            if engine is self._engine and engine.alive:
                self._loras.enter(lora, adapter)

    @staticmethod
    async def _undo(engine: VllmEngine, lora: Any) -> None:
        """A failed add can leave the id registered."""
        with contextlib.suppress(Exception):
            await engine.remove_lora(lora.lora_int_id)

    async def _launch(self) -> tuple[VllmEngine, SchemaTrials, AnswerParsers]:
        loop = asyncio.get_running_loop()
        self._enter(EngineState.STARTING)

        def loading() -> None:
            loop.call_soon_threadsafe(self._enter, EngineState.LOADING)

        if self._abandoned is not None:  # two starts at a time would both want the memory
            await asyncio.wait({self._abandoned})
        start = Launch(self._settings, self._sockets, loading, self.host)
        running = in_background(start.run, "vllm-start")
        try:
            llm = await asyncio.shield(running)
        except asyncio.CancelledError:
            start.abandon()
            running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody else will ask
            self._abandoned = running
            raise
        outputs = outputs_of(llm, self._stepped if self._settings.count_steps else None)
        engine = VllmEngine(llm, outputs, self._settings.hang_timeout, self._settings.trials.owner_bytes)
        self.metrics.adopt(outputs.tell)
        return await self._warmed_up(engine)

    async def _warmed_up(self, engine: VllmEngine) -> tuple[VllmEngine, SchemaTrials, AnswerParsers]:
        """It, with what it answers with; stopped if it does not come so far."""
        try:
            await engine.warm_up()
            parsers = await engine.answer_parsers(self._settings.reasoning_parser, self._settings.tool_parser)
            trials = await self._new_trials(engine)
        except BaseException:
            await engine.stop()
            raise
        return engine, trials, parsers

    async def _new_trials(self, engine: VllmEngine) -> SchemaTrials:
        vocabulary = write_vocabulary(self._settings.cache_folder, await engine.vocabulary())
        limits = self._settings.trials
        compilers = [CompilerProcess(vocabulary, limits) for _ in range(COMPILERS)]
        return SchemaTrials(compilers, limits, self._on_trial)

    async def _discard(self) -> None:
        engine, self._engine = self._engine, None
        trials, self._trials = self._trials, None
        self._loras.clear()
        self.metrics.drop()
        if trials is not None:
            await trials.close()
        if engine is not None:
            await engine.stop()
        self._sockets.remove()

    def _died(self, engine: VllmEngine) -> None:
        if engine is self._engine:
            self._loras.clear()
            self.metrics.drop()
            self._enter(EngineState.DEAD)

    def _running(self) -> VllmEngine:
        if self._engine is None or not self.ready:
            raise self._unavailable()
        return self._engine

    def _unavailable(self) -> BackendUnavailable:
        if self._engine is not None:
            return self._engine.unavailable()
        return BackendUnavailable(f"the engine is {self.state.value}", RETRY_AFTER)

    def _enter(self, state: EngineState) -> None:
        if state is self.state:
            return
        self.state = state
        if self._meter is not None:
            self._meter.enter(_MACHINE[state], time.monotonic_ns())
        if self._on_state is not None:
            self._on_state(state)


async def _next_chunk(engine: VllmEngine, collector: Coalescer) -> Chunk:
    try:
        return await collector.get()
    except GenerationFailed:
        raise
    except Exception as problem:
        raise engine.unavailable() from problem
