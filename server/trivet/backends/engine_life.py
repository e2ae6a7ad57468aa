"""The life of an engine: started, ready, dead, started again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from trivet.backends.answers.parser import AnswerParsers
from trivet.backends.engine.vllm_engine import RETRY_AFTER, VllmEngine
from trivet.backends.grammars.engine_turns import EngineTurns
from trivet.backends.grammars.process import CompilerProcess, write_vocabulary
from trivet.backends.grammars.trials import OnTrial, SchemaTrials
from trivet.backends.launch.failure import log_size, told_failure
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.errors import BackendUnavailable

COMPILERS = 2  # one is left to other tenants


class EngineState(Enum):
    """Where the engine is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    LOADING = "loading"
    READY = "ready"
    DEAD = "dead"


class Start(Protocol):
    """Where engines come from."""

    async def run(self, loading: Callable[[], None]) -> VllmEngine:
        """A new one; `loading` is called on the event loop when its process starts. Raises whatever is wrong."""

    def clear_away(self) -> None:
        """The engine has ended: remove what it may have left."""


@dataclass(frozen=True, slots=True)
class Companions:
    """What is as old as the engine: `trials` has what the engine found harmless, `turns` who compiles in it now."""

    trials: SchemaTrials
    parsers: AnswerParsers
    turns: EngineTurns


class EngineLife:
    """One engine after another, and its companions. Call everything from one event loop."""

    def __init__(
        self,
        settings: EmbeddedSettings,
        start: Start,
        *,
        on_state: Callable[[EngineState], None],
        on_end: Callable[[], None],
        on_trial: OnTrial,
    ) -> None:
        """`on_state` is told of each new state; `on_end` that an engine is gone with all it held, maybe twice.
        `on_trial`: see `SchemaTrials`."""
        self.state = EngineState.STOPPED
        self.incarnation = 0
        self.engine: VllmEngine | None = None
        self.companions: Companions | None = None
        self._settings = settings
        self._start = start
        self._on_state = on_state
        self._on_end = on_end
        self._on_trial = on_trial
        self._changes = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """The engine is alive and takes requests."""
        return self.state is EngineState.READY and self.engine is not None and self.engine.alive

    async def start(self) -> None:
        """Start the engine, also after it died; nothing to do if it is ready.

        Raises BackendUnavailable if it does not come up. Cancelling it kills what it had started.
        """
        async with self._changes:
            if self.ready:
                return
            self._enter(EngineState.STARTING)
            written = log_size(self._settings.log_file)
            try:
                await self._discard()
                gc.collect()  # former engines, and starts that failed, are cycles that hold sockets and pipes
                engine = await self._start.run(self._loading)
                companions = await self._warmed_up(engine)
            except asyncio.CancelledError:
                self._enter(EngineState.STOPPED)
                raise
            except Exception as problem:
                self._enter(EngineState.DEAD)
                cause = told_failure(problem, self._settings.log_file, written)
                told = f"the engine {self._settings.name} did not start: {cause}"
                raise BackendUnavailable(told, RETRY_AFTER) from problem
            self.engine, self.companions = engine, companions
            self.incarnation += 1
            self._enter(EngineState.READY)
            engine.death.add_done_callback(lambda _: self._died(engine))

    async def close(self) -> None:
        """End the engine; what is in flight fails with BackendUnavailable."""
        async with self._changes:
            self._enter(EngineState.STOPPED)
            await self._discard()

    async def death(self) -> str:
        """Wait until the running engine dies; returns the reason. Raises BackendUnavailable if none runs."""
        if self.engine is None:
            raise self._unavailable()
        return await asyncio.shield(self.engine.death)

    def running(self) -> tuple[VllmEngine, Companions]:
        """The engine, if it is ready; raises BackendUnavailable."""
        if self.engine is None or self.companions is None or not self.ready:
            raise self._unavailable()
        return self.engine, self.companions

    def _loading(self) -> None:
        if self.state is EngineState.STARTING:  # it may be told late, of a start that was given up
            self._enter(EngineState.LOADING)

    async def _warmed_up(self, engine: VllmEngine) -> Companions:
        """What it answers with; it is stopped if it does not come so far."""
        try:
            await engine.warm_up()
            parsers = await engine.answer_parsers(self._settings.reasoning_parser, self._settings.tool_parser)
            return Companions(await self._new_trials(engine), parsers, EngineTurns())
        except BaseException:
            await engine.stop()
            raise

    async def _new_trials(self, engine: VllmEngine) -> SchemaTrials:
        vocabulary = write_vocabulary(self._settings.cache_folder, await engine.vocabulary())
        limits = self._settings.trials
        compilers = [CompilerProcess(vocabulary, limits) for _ in range(COMPILERS)]
        return SchemaTrials(compilers, limits, self._on_trial)

    async def _discard(self) -> None:
        engine, self.engine = self.engine, None
        companions, self.companions = self.companions, None
        self._on_end()
        try:
            if companions is not None:
                await companions.trials.close()
        finally:  # also if that is cancelled: nobody else knows the engine any more
            try:
                if engine is not None:
                    await engine.stop()
            finally:
                self._start.clear_away()

    def _died(self, engine: VllmEngine) -> None:
        if engine is self.engine:
            self._on_end()
            self._enter(EngineState.DEAD)

    def _unavailable(self) -> BackendUnavailable:
        if self.engine is not None:
            return self.engine.unavailable()
        return BackendUnavailable(f"the engine is {self.state.value}", RETRY_AFTER)

    def _enter(self, state: EngineState) -> None:
        if state is not self.state:
            self.state = state
            self._on_state(state)
