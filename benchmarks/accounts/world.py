"""What the server under test is given: two engines with a price model each, routes of every kind, limits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT

SHEET, HOURLY = "sheet", "hourly"
"""The backends: priced by tokens, and a machine by the hour, whose engine has the adapters."""
TENANTS = {"acme": "client", "brook": "client", "few": "client", "operator": "operator"}
"""Each one's key is its name. `few` may do little in a day."""
FEW_REQUESTS, FEW_TOKENS = 40, 100_000
ROUTES = {
    "facts": SHEET,
    "private": SHEET,
    "mirrored": SHEET,
    "form": HOURLY,
    "canary": HOURLY,
    "copied": HOURLY,
}
"""Routes that exist, and where they are answered."""
_DAY = {"silence": "1d", "minimum_time": "1d", "maximum_time": "7d", "stable_slowdown": 100.0}


def write_config(folder: Path) -> Path:
    """The configuration, in `folder`."""
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(_config(), sort_keys=False))
    return path


def _config() -> dict[str, Any]:
    engine = {
        "kind": "embedded", "model": str(ROOT / "models" / "demo" / "weights"), "dtype": "float32", "block_size": 32,
        "max_model_len": 2048, "max_num_seqs": 16, "kv_cache_memory_bytes": 64 << 20,
    }  # fmt: skip
    return {
        "version": 1,
        "server": {"slow_reader_timeout": 2.0},
        "backends": {
            SHEET: {**engine, "enable_lora": False},
            HOURLY: {**engine, "max_loras": 2, "max_cpu_loras": 8, "max_lora_rank": 16},
        },
        "admission": {"max_running": 16, "max_queued": 20},
        "keys": [
            {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "tenant": name, "role": role}
            for name, role in TENANTS.items()
        ],
        "budgets": {"tenants": {"few": [{"per": "month", "requests": FEW_REQUESTS, "tokens": FEW_TOKENS}]}},
        "prompts": str(ROOT / "prompts"),
        "adapters": [str(ROOT / "adapters")],
        "indexes": {"handbook": str(ROOT / "indexes" / "handbook")},
        "prices": {
            SHEET: {
                "input_per_million_tokens": 0.23, "cached_per_million_tokens": 0.017,
                "output_per_million_tokens": 0.61, "retrieval_per_thousand_searches": 0.05,
            }
        },
        "machines": {HOURLY: {"usd_per_hour": 2.57, "prompt_token_weight": 0.123}},
        "routes": _routes(),
    }  # fmt: skip


def _routes() -> dict[str, Any]:
    search = {"retrieval": {"index": "handbook", "top_k": 1}}
    facts = {"backend": SHEET, "prompt": "support@1", **search, "sampling": {"max_tokens": 48}}
    plain = {"backend": HOURLY, "prompt": "support-json@2", "sampling": {"max_tokens": 40}}
    form = {**plain, "adapter": "json-answer@1", **search, "sampling": {"max_tokens": 64}}
    sorter = {"backend": HOURLY, "prompt": "tickets@1", "sampling": {"max_tokens": 8}}
    shadow = {"time": "1d", "share": 1.0, "max_running": 8, "load": 1.0}
    return {
        "facts": {
            "retrieval": {"deadline_ms": 400, "on_failure": "degrade"}, "variants": {"rag": {**facts, "weight": 1.0}},
        },
        "private": {
            "cache": "tenant", "retrieval": {"deadline_ms": 400, "on_failure": "degrade"},
            "variants": {"rag": {**facts, "weight": 1.0}},
        },
        "mirrored": _moving({**facts, "sampling": {"max_tokens": 24}}, facts, shadow),
        "form": {
            "retrieval": {"deadline_ms": 400, "on_failure": "fail"}, "variants": {"hybrid": {**form, "weight": 1.0}},
        },
        "canary": _moving(
            {**sorter, "adapter": "ticket-sorter@1"}, {**sorter, "adapter": "ticket-sorter@2"}, None
        ),
        "copied": _moving(plain, {**plain, "adapter": "json-answer@1"}, shadow),
    }  # fmt: skip


def _moving(stable: dict[str, Any], candidate: dict[str, Any], shadow: dict[str, Any] | None) -> dict[str, Any]:
    """A route whose rollout stays where it is: in its shadow, or at its only step."""
    rollout = {
        "stable": "stable", "candidate": "candidate", "start": "automatic", "steps": ["50%"], **_DAY,
        "guardrails": {"error": {"margin": 0.5}}, **({} if shadow is None else {"shadow": shadow}),
    }  # fmt: skip
    return {"variants": {"stable": stable, "candidate": candidate}, "rollout": rollout}
