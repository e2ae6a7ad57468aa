"""Starting vLLM's AsyncLLM: environment, engine process. Source: vLLM 0.32."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from typing import Any

from trivet.backends.launch.arguments import engine_arguments
from trivet.backends.launch.cpu_memory import take_share
from trivet.backends.launch.engine_process import write_logging_config
from trivet.backends.launch.engine_sockets import EngineSockets
from trivet.backends.launch.environment import know_architecture, prepare_cpu, prepare_import
from trivet.backends.launch.host import EngineHost, HostedProcess, order_of
from trivet.backends.vllm_settings import EmbeddedSettings

CPU_LORA_PLUGIN = "trivet.vllm_plugin.cpu_lora"


class LaunchAbandonedError(Exception):
    """Nobody waits for this engine any more."""


class Launch:
    """One start of an engine. `run` blocks for as long as that takes, so it belongs in a thread."""

    def __init__(
        self,
        settings: EmbeddedSettings,
        sockets: EngineSockets,
        loading: Callable[[], None],
        host: EngineHost | None = None,
    ) -> None:
        """`loading` is called in `run`'s thread when the imports are done and the engine's process is to start. `host`:
        what it is forked from on a CPU, instead of importing everything again."""
        self._settings = settings
        self._sockets = sockets
        self._loading = loading
        self._host = host
        self._others = frozenset(multiprocessing.active_children())
        self._hosted: HostedProcess | None = None
        self._abandoned = False

    def run(self) -> Any:
        """Start the engine and return its `AsyncLLM`; raises whatever vLLM raises (more is in the log file)."""
        logging_config = write_logging_config(self._settings.log_file)
        prepare_import(self._settings.cache_folder, logging_config)
        from vllm import envs
        from vllm.platforms import current_platform

        envs.disable_envs_cache()
        self._check()
        os.environ["VLLM_RPC_BASE_PATH"] = str(self._sockets.make())

        on_cpu = bool(current_platform.is_cpu())
        if on_cpu:
            prepare_cpu(self._settings.cpu_threads)
            know_architecture(self._settings.model)
        preload, temporary = os.environ.get("LD_PRELOAD"), os.environ.get("TMPDIR")
        tempfile.gettempdir()  # which this process keeps from here on
        try:
            config = engine_arguments(self._settings, on_cpu, logging_config).create_engine_config()
            if on_cpu and self._settings.gpu_memory_utilization is None:
                take_share(config, self._settings.name, self._settings.model)
            if on_cpu and self._settings.max_loras:
                _require_mended_lora()
            self._check()
            self._loading()
            os.environ["TMPDIR"] = os.environ["VLLM_RPC_BASE_PATH"]
            llm = self._start(config, on_cpu)
        finally:
            # vLLM preloads its allocator into all later children; it is meant for the engine alone, and so is its
            # temporary folder.
            _restore("LD_PRELOAD", preload)
            _restore("TMPDIR", temporary)
        if self._abandoned:
            llm.shutdown(timeout=0)
        self._check()
        envs.enable_envs_cache()  # until the next start: each request reads five, which takes 1% of the gateway's time
        return llm

    def abandon(self) -> None:
        """Make `run` fail soon; its engine process is killed. Call it from another thread."""
        self._abandoned = True
        if self._hosted is not None:
            self._hosted.kill()
        for child in multiprocessing.active_children():
            if child not in self._others and child.name.startswith("EngineCore"):
                child.kill()

    def _start(self, config: Any, on_cpu: bool) -> Any:
        host = self._host
        order = order_of(config, self._settings) if on_cpu and host is not None and host.alive else None
        if host is None or order is None:
            return _start(config, self._settings, on_cpu)
        engines = host.start(order, self._forked)
        try:
            llm = _front_end(config, client_addresses=order.sockets)
        except BaseException:
            engines.shutdown(0)
            raise
        llm.engine_core.resources.engine_manager = engines
        return llm

    def _forked(self, process: HostedProcess) -> None:
        self._hosted = process
        if self._abandoned:
            process.kill()

    def _check(self) -> None:
        if self._abandoned:
            raise LaunchAbandonedError


def _require_mended_lora() -> None:
    """vLLM loads its plugins when the configuration is made; without ours it mixes adapters up on a CPU."""
    from vllm.lora.punica_wrapper import punica_cpu

    if punica_cpu.bgmv_shrink.__module__ != CPU_LORA_PLUGIN:
        raise RuntimeError(
            f"{CPU_LORA_PLUGIN} is not active in vLLM: install Trivet again so that its entry point is known, make "
            "sure that VLLM_PLUGINS does not leave trivet_cpu_lora out, and use the vLLM version that Trivet pins"
        )


def _start(config: Any, settings: EmbeddedSettings, on_cpu: bool) -> Any:
    """With vLLM's own child process."""
    if on_cpu and settings.start_method == "fork":
        import torch

        torch.set_num_threads(settings.cpu_threads)  # a forked child does not read OMP_NUM_THREADS any more
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"  # the CPU platform sets "spawn" in the configuration step
    return _front_end(config)


def _front_end(config: Any, **where: Any) -> Any:
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.executor import Executor
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    return AsyncLLM(
        config,
        executor_class=Executor.get_class(config),
        log_requests=False,
        # Prometheus alone: the default loggers would also compute and print a line of averages.
        log_stats=False,
        stat_loggers=[PrometheusStatLogger],
        **where,
    )


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
