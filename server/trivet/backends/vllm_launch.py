"""Starting vLLM's AsyncLLM: environment, engine process. Source: vLLM 0.32."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trivet.backends.engine_process import write_logging_config
from trivet.backends.engine_sockets import EngineSockets
from trivet.backends.launch.arguments import engine_arguments
from trivet.backends.launch.cpu_memory import take_share
from trivet.backends.vllm_settings import EmbeddedSettings

CPU_LORA_PLUGIN = "trivet.vllm_plugin.cpu_lora"


class LaunchAbandonedError(Exception):
    """Nobody waits for this engine any more."""


class Launch:
    """One start of an engine. `run` blocks for as long as that takes, so it belongs in a thread."""

    def __init__(self, settings: EmbeddedSettings, sockets: EngineSockets, loading: Callable[[], None]) -> None:
        """`loading` is called in `run`'s thread when the imports are done and the engine's process is to start."""
        self._settings = settings
        self._sockets = sockets
        self._loading = loading
        self._others = frozenset(multiprocessing.active_children())
        self._abandoned = False

    def run(self) -> Any:
        """Start the engine and return its `AsyncLLM`; raises whatever vLLM raises (more is in the log file)."""
        logging_config = write_logging_config(self._settings.log_file)
        _prepare_environment(self._settings.cache_folder, self._sockets.make(), logging_config)
        from vllm.platforms import current_platform

        on_cpu = bool(current_platform.is_cpu())
        if on_cpu:
            _prepare_cpu(self._settings)
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
            llm = _start(config, self._settings, on_cpu)
        finally:
            # vLLM preloads its allocator into all later children; it is meant for the engine alone, and so is its
            # temporary folder.
            _restore("LD_PRELOAD", preload)
            _restore("TMPDIR", temporary)
        if self._abandoned:
            llm.shutdown(timeout=0)
        self._check()
        return llm

    def abandon(self) -> None:
        """Make `run` fail soon; its engine process is killed. Call it from another thread."""
        self._abandoned = True
        for child in multiprocessing.active_children():
            if child not in self._others and child.name.startswith("EngineCore"):
                child.kill()

    def _check(self) -> None:
        if self._abandoned:
            raise LaunchAbandonedError


def _prepare_environment(folder: Path, sockets: Path, logging_config: Path) -> None:
    """Vendors' caches go below the cache folder `folder`. Must run before vLLM is imported for the first time.

    The environment is the whole process's, so engines start one after another.
    """
    os.environ.update(
        VLLM_CACHE_ROOT=str(folder / "vllm"),
        VLLM_RPC_BASE_PATH=str(sockets),
        VLLM_CONFIG_ROOT=str(folder / "vllm-config"),
        HF_HOME=str(folder / "huggingface"),
        HF_MODULES_CACHE=str(folder / "huggingface" / "modules"),
        TORCHINDUCTOR_CACHE_DIR=str(folder / "inductor"),
        TRITON_CACHE_DIR=str(folder / "triton"),
        FLASHINFER_WORKSPACE_BASE=str(folder / "flashinfer"),
        VLLM_LOGGING_CONFIG_PATH=str(logging_config),
        VLLM_NO_USAGE_STATS="1",
        HF_HUB_OFFLINE="1",
        TOKENIZERS_PARALLELISM="false",
        TORCH_LOGS="-all",
    )


def _prepare_cpu(settings: EmbeddedSettings) -> None:
    os.environ.update(
        # More threads than cores are free cost far more than they bring: two on two busy cores, a 17th of the speed.
        OMP_NUM_THREADS=str(settings.cpu_threads),
        # Keeps the worker inside the engine's process: one process less to import everything.
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
    )
    _know_architecture(settings)


def _know_architecture(settings: EmbeddedSettings) -> None:
    """Import the model's class here, where vLLM would start a process (as long as an import) to look at it."""
    from vllm.model_executor.models.registry import ModelRegistry

    architectures = json.loads((settings.model / "config.json").read_text()).get("architectures") or []
    for name in architectures:
        lazy = ModelRegistry.models.get(name)
        if lazy is not None:
            ModelRegistry.register_model(name, lazy.load_model_cls())


def _require_mended_lora() -> None:
    """vLLM loads its plugins when the configuration is made; without ours it mixes adapters up on a CPU."""
    from vllm.lora.punica_wrapper import punica_cpu

    if punica_cpu.bgmv_shrink.__module__ != CPU_LORA_PLUGIN:
        raise RuntimeError(
            f"{CPU_LORA_PLUGIN} is not active in vLLM: install Trivet again so that its entry point is known, make "
            "sure that VLLM_PLUGINS does not leave trivet_cpu_lora out, and use the vLLM version that Trivet pins"
        )


def _start(config: Any, settings: EmbeddedSettings, on_cpu: bool) -> Any:
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.executor import Executor
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    if on_cpu and settings.start_method == "fork":
        import torch

        torch.set_num_threads(settings.cpu_threads)  # a forked child does not read OMP_NUM_THREADS any more
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"  # the CPU platform sets "spawn" in the configuration step
    return AsyncLLM(
        config,
        executor_class=Executor.get_class(config),
        log_requests=False,
        # Prometheus alone: the default loggers would also compute and print a line of averages.
        log_stats=False,
        stat_loggers=[PrometheusStatLogger],
    )


def _restore(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value
