"""What is watched: one server over a PostgreSQL server, so that everything that alerts tell of can be done to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT

PROMPTS = Path(__file__).with_name("prompts")
LOST = "json-answer@98"  # an adapter that goes away
ALARM_SECONDS = 30.0  # for which it is shown that questions have changed


def write_config(folder: Path, database: str) -> Path:
    """The configuration, in `folder`."""
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    shutil.copytree(PROMPTS, folder / "prompts", dirs_exist_ok=True)
    shutil.copytree(ROOT / "adapters", folder / "adapters")
    copy = folder / "adapters" / "json-answer" / "98"
    shutil.copytree(folder / "adapters" / "json-answer" / "1", copy)
    manifest = yaml.safe_load((copy / "adapter.yaml").read_text())
    (copy / "adapter.yaml").write_text(yaml.safe_dump({**manifest, "version": "98"}))
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(_config(database), sort_keys=False))
    return path


def change(path: Path, how: Callable[[dict[str, Any]], None]) -> None:
    """Write it anew, as `how` changes it."""
    config = yaml.safe_load(path.read_text())
    how(config)
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def _config(database: str) -> dict[str, Any]:
    sampling = {"sampling": {"max_tokens": 8}}
    plain = {"backend": "local", "prompt": "steady@1", **sampling}
    search = {**plain, "retrieval": {"index": "handbook", "top_k": 1}, "prompt": "support@1"}
    still = {"start": "automatic", "steps": ["50%"], "guardrails": {"error": {"margin": 0.5}}}
    rollout = {"stable": "stable", "candidate": "candidate", **still}
    two = {"stable": plain, "candidate": {**plain, "sampling": {"max_tokens": 9}}}
    return {
        "version": 1,
        "server": {"receipts": {"queue_bytes": 1 << 20}},
        "state": {"url": database},
        "backends": {
            "local": {
                "kind": "embedded", "model": str(ROOT / "models" / "demo" / "weights"), "dtype": "float32",
                "block_size": 32, "max_model_len": 2048, "max_num_seqs": 16, "kv_cache_memory_bytes": 64 << 20,
                "max_loras": 1, "max_cpu_loras": 4, "max_lora_rank": 16,
            }
        },
        "admission": {"max_running": 12, "max_queued": 4},
        "prompts": "prompts",
        "adapters": ["adapters"],
        "indexes": {"handbook": str(ROOT / "indexes" / "handbook")},
        "prices": {"local": cheap()},
        "routes": {
            "steady": {"variants": {"only": {**plain, "weight": 1.0}}},
            "facts": {
                "retrieval": {"deadline_ms": 500, "on_failure": "degrade"},
                "variants": {"rag": {**search, "weight": 1.0}},
            },
            "strict": {
                "retrieval": {"deadline_ms": 500, "on_failure": "fail"},
                "variants": {"rag": {**search, "weight": 1.0}},
            },
            "watched": {
                "retrieval": {"deadline_ms": 500, "on_failure": "degrade"},
                "drift": {"reference": 100, "alarm_days": ALARM_SECONDS / 86400},
                "variants": {"rag": {**search, "weight": 1.0}},
            },
            "quiet": {"variants": two, "rollout": {**rollout, "silence": "2s"}},
            "moving": {"variants": two, "rollout": {**rollout, "silence": "1d", "minimum_time": "1d"}},
        },
    }  # fmt: skip


def cheap(factor: float = 1.0) -> dict[str, float]:
    """Prices, times so much."""
    prices = {"input_per_million_tokens": 0.2, "cached_per_million_tokens": 0.02, "output_per_million_tokens": 0.6}
    return {name: price * factor for name, price in prices.items()}
