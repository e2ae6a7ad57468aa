"""The model leg: the embedded engine's settings, the adapters that variants want, the prompts' tokens."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.app.supervisor import RestartSettings
from trivet.backends.vllm_settings import EmbeddedSettings
from trivet.config import Config
from trivet.pipeline.generation import Assemblers
from trivet.prompts.assembler import PromptAssembler
from trivet.prompts.chat_tokenizer import ChatTokenizer
from trivet.prompts.library import PromptLibrary
from trivet.stores.data_folder import DataFolder
from trivet.types.variant import Route, Variant, VersionRef


def embedded_settings(config: Config, folder: DataFolder, name: str) -> EmbeddedSettings:
    """The settings of one embedded backend."""
    backend = config.file.backends[name]
    return EmbeddedSettings(
        name=name,
        model=config.resolve(backend.model),
        cache_folder=folder.cache,
        log_file=folder.logs / f"engine-{name}.log",
        dtype=backend.dtype,
        block_size=backend.block_size,
        kv_cache_memory_bytes=backend.kv_cache_memory_bytes,
        gpu_memory_utilization=backend.gpu_memory_utilization,
        max_model_len=backend.max_model_len,
        max_num_seqs=backend.max_num_seqs,
        max_loras=backend.max_loras if backend.enable_lora else 0,
        max_cpu_loras=backend.max_cpu_loras,
        max_lora_rank=backend.max_lora_rank,
    )


def restart_settings(config: Config, name: str) -> RestartSettings:
    """How one embedded backend is started again."""
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


def wanted_adapters(config: Config) -> dict[VersionRef, list[str]]:
    """The adapters that variants name, and for each the variants as `route/variant`."""
    wanted: dict[VersionRef, list[str]] = {}
    for route, variant in variants_of(config):
        if variant.adapter is not None:
            wanted.setdefault(variant.adapter, []).append(f"{route.name}/{variant.name}")
    return wanted


def assemblers(config: Config) -> Assemblers:
    """Every prompt that a variant names, tokenized for its backend's model; ConfigError if one does not fit."""
    library = PromptLibrary.load(config.prompts)
    tokenizers = {
        name: ChatTokenizer.load(config.resolve(backend.model)) for name, backend in config.file.backends.items()
    }
    return {
        (variant.backend, variant.prompt): PromptAssembler(library.get(variant.prompt), tokenizers[variant.backend])
        for _, variant in variants_of(config)
    }
