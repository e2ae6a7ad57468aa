"""What generates: one vLLM engine per backend."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trivet.config.schema.base import Count, NotNegative, Positive, Section


class Restart(Section):
    """How a dead engine is started again; seconds."""

    first_delay: Positive = 0.5
    max_delay: Positive = 30.0
    settled_after: Positive = 60.0


class EmbeddedBackend(Section):
    """vLLM in this process. Names are vLLM's own where it has one."""

    kind: Literal["embedded"]
    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    block_size: Annotated[int, Field(ge=1)] | None = None
    max_model_len: Annotated[int, Field(ge=64)] | None = None
    max_num_seqs: Count = 32
    kv_cache_memory_bytes: Annotated[int, Field(ge=1 << 20)] | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    enable_lora: bool = True
    max_loras: Count = 2
    max_cpu_loras: Count = 16
    max_adapter_loads: Count = 2
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    adapter_quantum_ms: NotNegative = 500.0
    start_timeout: Positive = 900.0
    hang_timeout: Positive = 120.0
    restart: Restart = Restart()
