"""How the embedded engine is set up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trivet.backends.grammars.limits import TrialLimits

GRAMMAR_BACKEND = "xgrammar"


@dataclass(frozen=True, slots=True)
class EmbeddedSettings:
    """Settings of one embedded vLLM engine.

    `model` is a local folder in Hugging Face format. `cache_folder` takes every cache that vLLM, Hugging Face and
    PyTorch write; `log_file` all that the engine would print. None leaves a choice to vLLM; `dtype` "auto" is
    float32 on a CPU. `max_loras` 0 turns adapters off. `start_method` "fork" starts faster, but only before this
    process has other threads that hold locks, gRPC's above all. An engine without a sign of life for `hang_timeout`
    seconds counts as dead; it gives one between two steps, so no step may take as long. With `count_steps` it tells
    what each step computed. With `trust_remote_code` the Python files in the model's folder are run. `engine_args`
    are further arguments of vLLM's by name, none of which `trivet.config.engine_arguments` refuses.
    `reasoning_parser` and `tool_parser`: vLLM's names of what takes answers apart.
    """

    name: str
    model: Path
    cache_folder: Path
    log_file: Path
    dtype: str = "auto"
    block_size: int | None = None
    kv_cache_memory_bytes: int | None = None
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    max_num_seqs: int = 64
    max_loras: int = 2
    max_cpu_loras: int = 16
    max_lora_rank: int = 16
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    trust_remote_code: bool = False
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    reasoning_parser: str | None = None
    tool_parser: str | None = None
    cpu_threads: int = 1
    hang_timeout: float = 120.0
    count_steps: bool = False
    start_method: Literal["spawn", "fork"] = "spawn"
    trials: TrialLimits = field(default_factory=TrialLimits)
