"""The model leg: the embedded engines' settings, and which backend takes adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trivet.app.supervision.supervisor import RestartSettings
from trivet.backends.grammars.limits import TrialLimits
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.config import Config
from trivet.config.checks import schema_limits
from trivet.config.schema import EmbeddedBackend, Schemas
from trivet.stores.data_folder import DataFolder
from trivet.types.variant import Route, Variant


def embedded_settings(config: Config, folder: DataFolder, name: str) -> EmbeddedSettings:
    """The settings of one embedded backend."""
    backend = embedded_section(config, name)
    return EmbeddedSettings(
        name=name,
        model=config.model_folder(name),
        cache_folder=folder.cache,
        log_file=folder.logs / f"engine-{name}.log",
        dtype=backend.dtype,
        block_size=backend.block_size,
        kv_cache_memory_bytes=backend.kv_cache_memory_bytes,
        tensor_parallel_size=backend.tensor_parallel_size,
        pipeline_parallel_size=backend.pipeline_parallel_size,
        trust_remote_code=backend.trust_remote_code,
        engine_args=_engine_args(config, backend.engine_args),
        gpu_memory_utilization=backend.gpu_memory_utilization,
        max_model_len=backend.max_model_len,
        max_num_seqs=backend.max_num_seqs,
        max_loras=backend.max_loras if backend.enable_lora else 0,
        max_cpu_loras=backend.max_cpu_loras,
        max_lora_rank=backend.max_lora_rank,
        reasoning_parser=backend.reasoning_parser,
        tool_parser=backend.tool_parser,
        hang_timeout=backend.hang_timeout,
        count_steps=name in config.file.machines,
        trials=_trial_limits(config.file.schemas, len({key.tenant for key in config.file.keys}) or 1),
    )


def embedded_section(config: Config, name: str) -> EmbeddedBackend:
    """The part of the configuration that an embedded backend is told by; ValueError for another kind."""
    section = config.file.backends[name]
    if not isinstance(section, EmbeddedBackend):
        raise ValueError(f"backend {name} is of kind {section.kind}, expected embedded")
    return section


def _engine_args(config: Config, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same with the folder of a draft model, which the file may give relative to itself, made absolute."""
    speculative = arguments.get("speculative_config")
    if not isinstance(speculative, Mapping) or not isinstance(speculative.get("model"), str):
        return arguments
    return {**arguments, "speculative_config": {**speculative, "model": str(config.resolve(speculative["model"]))}}


def _trial_limits(schemas: Schemas, tenants: int) -> TrialLimits:
    return TrialLimits(
        cpu_seconds=schemas.compile_cpu_ms / 1000,
        step_seconds=schemas.step_cpu_ms / 1000,
        memory_bytes=schemas.compile_memory_bytes,
        max_waiting=schemas.max_waiting,
        owners=tenants,
        schema=schema_limits(schemas),
    )


def restart_settings(config: Config, name: str) -> RestartSettings:
    """How one backend is started again."""
    backend = config.file.backends[name]
    return RestartSettings(start_timeout=backend.start_timeout, **backend.restart.model_dump())


def adapter_backend(config: Config) -> str:
    """The backend that adapters are for; the first one, which refuses them, where none has them enabled."""
    backends = config.file.backends
    return next((name for name, backend in backends.items() if backend.enable_lora), next(iter(backends)))


def variants_of(config: Config) -> Iterator[tuple[Route, Variant]]:
    """Every variant of every route."""
    for route in config.routes.values():
        for variant in route.variants.values():
            yield route, variant
