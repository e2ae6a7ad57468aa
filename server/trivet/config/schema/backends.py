"""What generates: one vLLM engine per backend."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from trivet.config.fields.kinds import Count, NotNegative, Positive, Section, Text

_HUB = "hub:"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ON_HUB = re.compile(r"hub:[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[A-Za-z0-9][\w./-]{0,95})?")


def _model_place(text: str) -> str:
    if text.startswith(_HUB) and not _ON_HUB.fullmatch(text):
        raise ValueError(
            "expected a folder, or hub:organisation/name, with @revision behind it for a branch or a commit"
        )
    return text


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError("expected a date such as 2024-07-26, in quotes")
    date.fromisoformat(text)
    return text


ModelPlace = Annotated[Text, AfterValidator(_model_place)]


class Restart(Section):
    """How a dead engine is started again; seconds."""

    first_delay: Positive = 0.5
    max_delay: Positive = 30.0
    settled_after: Positive = 60.0


class EmbeddedBackend(Section):
    """vLLM in this process. Names are vLLM's own where it has one.

    What Trivet needs to know itself is a field; every other argument of vLLM's that it takes is in `engine_args`.
    """

    kind: Literal["embedded"]
    model: ModelPlace
    hub_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")] | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    block_size: Annotated[int, Field(ge=1)] | None = None
    max_model_len: Annotated[int, Field(ge=64)] | None = None
    max_num_seqs: Count = 32
    kv_cache_memory_bytes: Annotated[int, Field(ge=1 << 20)] | None = None
    tensor_parallel_size: Annotated[int, Field(ge=1, le=1024)] = 1
    pipeline_parallel_size: Annotated[int, Field(ge=1, le=1024)] = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    trust_remote_code: bool = False
    chat_template: Text | None = None
    chat_template_name: Text | None = None
    template_date: Annotated[str, AfterValidator(_date)] | None = None
    allow_plain_roles: bool = False
    reasoning_parser: Text | None = None
    tool_parser: Text | None = None
    engine_args: Annotated[dict[str, Any], Field(max_length=100)] = {}
    enable_lora: bool = True
    max_loras: Count = 2
    max_cpu_loras: Count = 16
    max_adapter_loads: Count = 2
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    adapter_quantum_ms: NotNegative = 500.0
    start_timeout: Positive = 900.0
    hang_timeout: Positive = 120.0
    restart: Restart = Restart()

    @property
    def on_hub(self) -> bool:
        """Whether its model is fetched from a hub, instead of read from a folder."""
        return self.model.startswith(_HUB)
