"""Importing vLLM: the environment that it and its processes have, and the classes of models. Source: vLLM 0.32."""

from __future__ import annotations

import json
import os
from pathlib import Path


def prepare_import(folder: Path, logging_config: Path) -> None:
    """Vendors' caches go below the cache folder `folder`. Must run before vLLM is imported for the first time.

    The environment is the whole process's, so engines start one after another.
    """
    os.environ.update(
        VLLM_CACHE_ROOT=str(folder / "vllm"),
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


def prepare_cpu(threads: int) -> None:
    """For an engine on a CPU that computes with so many threads; the same holds of it."""
    os.environ.update(
        # More threads than cores are free cost far more than they bring: two on two busy cores, a 17th of the speed.
        OMP_NUM_THREADS=str(threads),
        # Keeps the worker inside the engine's process: one process less to import everything.
        VLLM_ENABLE_V1_MULTIPROCESSING="0",
    )


def know_architecture(model: Path) -> None:
    """Import the model's class here, where vLLM would start a process (as long as an import) to look at it."""
    from vllm.model_executor.models.registry import ModelRegistry

    architectures = json.loads((model / "config.json").read_text()).get("architectures") or []
    for name in architectures:
        lazy = ModelRegistry.models.get(name)
        if lazy is not None:
            ModelRegistry.register_model(name, lazy.load_model_cls())
