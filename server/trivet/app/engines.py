"""The embedded engines of the configuration: started one after another, supervised each on its own, ended together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry

from trivet.app.accounts.machines import machine_times
from trivet.app.backend import embedded_settings, restart_settings
from trivet.app.progress import Progress
from trivet.app.supervision.supervisor import Supervisor
from trivet.app.supervision.warmup import Warmup
from trivet.backends.grammars.verdict import Outcome
from trivet.backends.vllm_embedded import EmbeddedVllm, EngineState
from trivet.config import Config
from trivet.metering.metrics import Metrics
from trivet.stores.data_folder import DataFolder

logger = logging.getLogger(__name__)


class Engines:
    """Call `start` once, then `end_supervision` and `close`, also if `start` failed."""

    def __init__(self, config: Config, folder: DataFolder, metrics: Metrics, on_start: Callable[[str], None]) -> None:
        """`on_start` is told the name of each engine that has come up, after a death too."""
        self.machines = machine_times(config)
        self.backends: Mapping[str, EmbeddedVllm] = {
            name: EmbeddedVllm(
                embedded_settings(config, folder, name),
                partial(_tell, name, on_start),
                partial(_tried, metrics, name),
                self.machines.get(name),
            )
            for name in config.file.backends
        }
        self._config = config
        self._metrics = metrics
        self._supervising: list[asyncio.Task[None]] = []
        for name, backend in self.backends.items():
            metrics.engine_up.labels(name).set_function(partial(_up, backend))
            metrics.schemas_waiting.labels(name).set_function(partial(_waiting, backend))
            metrics.engine_restarts.labels(name)  # there from the start, as 0
            metrics.preemptions.labels(name)

    @property
    def registries(self) -> list[CollectorRegistry]:
        """Of the engines' own metrics."""
        return [backend.metrics.registry for backend in self.backends.values()]

    async def start(self, warmup: Warmup, progress: Progress, on_change: Callable[[], None]) -> list[str]:
        """Start every engine and prepare what it serves; what could not be made ready, in words, is tried again later.

        `on_change` is called whenever variants may have become ready or not. Raises BackendUnavailable if an engine
        does not come up.
        """
        turn = asyncio.Lock()
        problems: list[str] = []
        for name, backend in self.backends.items():
            supervisor = Supervisor(
                backend,
                restart_settings(self._config, name),
                turn=turn,
                prepare=partial(warmup.prepare, name),
                on_change=on_change,
                on_restart=self._metrics.engine_restarts.labels(name).inc,
            )
            stage = f"engine {name} (vLLM)"
            progress.begin(stage)
            problems += await supervisor.start()
            progress.done(stage, warmup.summary(name))
            self._supervising.append(asyncio.create_task(supervisor.run(), name=f"supervisor of {name}"))
        return problems

    async def end_supervision(self) -> None:
        """Start and prepare nothing any more; a start that is under way is broken off."""
        for task in self._supervising:
            task.cancel()
        await asyncio.gather(*self._supervising, return_exceptions=True)

    async def close(self) -> None:
        """End the engines, whose supervision has ended; what is in flight fails."""
        await asyncio.gather(*(backend.close() for backend in self.backends.values()))


def _tell(name: str, on_start: Callable[[str], None], state: EngineState) -> None:
    logger.info("engine %s is %s", name, state.value)
    if state is EngineState.READY:
        on_start(name)


def _tried(metrics: Metrics, name: str, seconds: float, outcome: Outcome) -> None:
    metrics.schema_compile.labels(name, outcome.value).observe(seconds)


def _waiting(backend: EmbeddedVllm) -> float:
    return float(backend.schemas_waiting)


def _up(backend: EmbeddedVllm) -> float:
    return float(backend.ready)
