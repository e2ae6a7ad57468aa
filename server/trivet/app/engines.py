"""The backends of the configuration: started one after another, supervised each on its own, ended together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry

from trivet.app.accounts.machines import machine_times
from trivet.app.backend import embedded_settings, restart_settings
from trivet.app.progress import Progress
from trivet.app.remote.endpoints import open_endpoint
from trivet.app.remote.fleets import Fingerprints, open_fleet
from trivet.app.supervision.supervisor import Supervisor
from trivet.app.supervision.warmup import Warmup
from trivet.backends.engine_life import EngineState
from trivet.backends.grammars.verdict import Outcome
from trivet.backends.launch.host import EngineHost, open_host
from trivet.backends.openai import OpenAiEndpoint
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.config import Config, schema
from trivet.config.schema import RemoteBackend
from trivet.errors import BackendUnavailable
from trivet.fleet.endpoint import STATES
from trivet.fleet.fleet import Fleet, FleetEvents
from trivet.metering.metrics import Metrics
from trivet.metering.warmup_account import WarmupAccount
from trivet.stores.data_folder import DataFolder

logger = logging.getLogger(__name__)
AnyBackend = EmbeddedVllm | Fleet | OpenAiEndpoint


class Engines:
    """Call `start` once, then `end_supervision` and `close`, also if `start` failed."""

    def __init__(
        self,
        config: Config,
        folder: DataFolder,
        metrics: Metrics,
        warmups: WarmupAccount,
        fingerprints: Mapping[str, Fingerprints],
    ) -> None:
        """`warmups` counts what each start and each priming takes. `fingerprints`: of what fleets must have."""
        self.machines = machine_times(config)
        self._config = config
        self._folder = folder
        self._metrics = metrics
        self._warmups = warmups
        self._host: EngineHost | None = None
        self._on_change: Callable[[], None] = _nothing
        self._supervising: list[asyncio.Task[None]] = []
        self.fleets: dict[str, Fleet] = {}
        self.embedded: dict[str, EmbeddedVllm] = {}
        self.endpoints: dict[str, OpenAiEndpoint] = {}
        for name, section in config.file.backends.items():
            if isinstance(section, RemoteBackend):
                self.fleets[name] = self._fleet(name, section, fingerprints[name])
            elif isinstance(section, schema.OpenAiBackend):
                self.endpoints[name] = open_endpoint(config, name, section)
            else:
                self.embedded[name] = self._embedded(name)
        opened: Mapping[str, AnyBackend] = {**self.fleets, **self.endpoints, **self.embedded}
        self.backends = {name: opened[name] for name in config.file.backends}
        for name, backend in self.backends.items():
            metrics.engine_up.labels(name).set_function(partial(_up, backend))
            metrics.engine_restarts.labels(name)  # there from the start, as 0
            metrics.preemptions.labels(name)

    @property
    def registries(self) -> list[CollectorRegistry]:
        """Of the engines' own metrics; those of nodes are the nodes' own."""
        return [backend.metrics.registry for backend in self.embedded.values()]

    async def open_host(self, progress: Progress) -> None:
        """Make what embedded engines are forked from on a CPU. Nothing else may be at work in this process meanwhile:
        what another thread holds at the fork is never given back in the new process."""
        if self.embedded:
            stage = "import of vLLM"
            progress.begin(stage)
            settings = [embedded_settings(self._config, self._folder, name) for name in self.embedded]
            self._host = await open_host(settings, [self._folder.lock])
            for backend in self.embedded.values():
                backend.start_from(self._host)
            progress.done(stage)

    async def start(self, warmup: Warmup, progress: Progress, on_change: Callable[[], None]) -> list[str]:
        """Start every engine and prepare what it serves; what could not be made ready, in words, is tried again later.

        `on_change` is called whenever variants may have become ready or not. Raises BackendUnavailable if an engine
        does not come up; an endpoint of somebody else's that is away keeps no other backend from serving.
        """
        self._on_change = on_change
        turn = asyncio.Lock()
        problems: list[str] = []
        for name, backend in self.backends.items():
            supervisor = Supervisor(
                backend,
                restart_settings(self._config, name),
                turn=turn if name in self.embedded else asyncio.Lock(),
                prepare=partial(warmup.prepare, name),
                on_change=on_change,
                on_restart=self._metrics.engine_restarts.labels(name).inc,
            )
            stage = self._stage(name)
            progress.begin(stage)
            try:
                problems += await supervisor.start()
            except BackendUnavailable as problem:
                if name not in self.endpoints:
                    raise
                problems.append(str(problem))
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
        if self._host is not None:
            self._host.close()

    def _stage(self, name: str) -> str:
        if name in self.endpoints:
            return f"endpoint of {name}"
        return f"engine nodes of {name}" if name in self.fleets else f"engine {name} (vLLM)"

    def _embedded(self, name: str) -> EmbeddedVllm:
        backend = EmbeddedVllm(
            embedded_settings(self._config, self._folder, name),
            partial(_tell, name, self._warmups.started),
            partial(_tried, self._metrics, name),
            self.machines.get(name),
        )
        self._metrics.schemas_waiting.labels(name).set_function(partial(_waiting, backend))
        return backend

    def _fleet(self, name: str, section: RemoteBackend, fingerprints: Fingerprints) -> Fleet:
        retries = self._metrics.fleet_retries.labels(name)
        events = FleetEvents(
            changed=lambda: self._on_change(), primed=partial(self._warmups.primed, name), retried=retries.inc
        )
        fleet = open_fleet(self._config, name, section, fingerprints, events)
        for state in STATES:
            self._metrics.fleet_nodes.labels(name, state).set_function(partial(_nodes, fleet, state))
        return fleet


def _nothing() -> None:
    pass


def _nodes(fleet: Fleet, state: str) -> float:
    return float(sum(endpoint.state == state for endpoint in list(fleet.endpoints.values())))


def _tell(name: str, on_start: Callable[[str], None], state: EngineState) -> None:
    logger.info("engine %s is %s", name, state.value)
    if state is EngineState.READY:
        on_start(name)


def _tried(metrics: Metrics, name: str, seconds: float, outcome: Outcome) -> None:
    metrics.schema_compile.labels(name, outcome.value).observe(seconds)


def _waiting(backend: EmbeddedVllm) -> float:
    return float(backend.schemas_waiting)


def _up(backend: AnyBackend) -> float:
    return float(backend.ready)
