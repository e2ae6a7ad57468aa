"""What the adapters' benchmark runs on: a model, many random adapters, and a configuration for each question asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tiny_adapters import write_adapter
from benchmarks.measuring.tiny_llama import make_model
from benchmarks.measuring.workload import (
    BLOCK_SIZE,
    CONTEXT,
    INDEX,
    KV_CACHE_BYTES,
    MAX_NUM_SEQS,
    PROMPT,
    PROMPTS_FOLDER,
)

BASE = "base"
MAX_TOKENS = 64
RANK = 8


@dataclass
class AdapterWorld:
    """Files below `folder`: `adapters/a000/1`, `adapters/a001/1`, ... and configurations."""

    folder: Path
    names: list[str] = field(default_factory=list)

    @property
    def model(self) -> Path:
        """The base model."""
        return self.folder / "model"

    @property
    def adapters(self) -> Path:
        """The adapters' root."""
        return self.folder / "adapters"

    def make(self, number: int) -> None:
        """Write the model and so many adapters."""
        corpus = [path.read_text() for path in sorted((ROOT / "indexes" / INDEX / "corpus").rglob("*.*"))]
        make_model(self.model, corpus, CONTEXT)
        self.names = [f"a{index:03d}" for index in range(number)]
        for seed, name in enumerate(self.names):
            write_adapter(self.adapters / name / "1", seed, RANK)

    def config(self, name: str, adapters: Sequence[str], *, model: Path | None = None, **backend: Any) -> Path:
        """Write `name.yaml`: a route without an adapter and one for each of `adapters`, named as they are."""
        variant = {"weight": 1.0, "backend": "bench", "prompt": str(PROMPT), "sampling": {"max_tokens": MAX_TOKENS}}
        routes: dict[str, Any] = {BASE: {"variants": {BASE: variant}}}
        for adapter in adapters:
            routes[adapter] = {"variants": {adapter: {**variant, "adapter": f"{adapter}@1"}}}
        settings = {
            "kind": "embedded",
            "model": str(model or self.model),
            "dtype": "float32",
            "block_size": BLOCK_SIZE,
            "max_model_len": CONTEXT,
            "max_num_seqs": MAX_NUM_SEQS,
            "kv_cache_memory_bytes": KV_CACHE_BYTES,
            **backend,
        }
        content = {
            "version": 1,
            "server": {"drain_timeout": 10.0},
            "backends": {"bench": settings},
            "prompts": str(PROMPTS_FOLDER),
            "adapters": [str(self.adapters)],
            "stream": {"max_ms": 0},  # what a swap does to streams shows in each token
            "routes": routes,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path
