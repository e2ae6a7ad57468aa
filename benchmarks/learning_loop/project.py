"""A project that begins with one weak prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measuring.repository import ROOT

ROUTE = "tickets"
LABELS = ("billing", "login", "delivery", "bug", "feature", "cancel")
PROMPT = "You sort support tickets. Answer with the queue alone."
ADAPTER = "sorter@1"


@dataclass
class Project:
    """Its folder, and what its configuration says of the route."""

    folder: Path
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    rollout: Mapping[str, Any] | None = None
    arms: Mapping[str, Any] = field(default_factory=dict)  # routes that the evaluation asks

    @property
    def config(self) -> Path:
        """`trivet.yaml`."""
        return self.folder / "trivet.yaml"

    def begin(self) -> None:
        """Prompt and configuration: one variant, whose answers are kept."""
        (self.folder / "prompts" / ROUTE).mkdir(parents=True)
        (self.folder / "prompts" / ROUTE / "1.md").write_text(PROMPT + "\n")
        self.variants["prompted"] = {
            "backend": "local", "prompt": f"{ROUTE}@1", "weight": 1, "sampling": {"max_tokens": 8},
        }  # fmt: skip
        self.write()

    def add_candidate(self) -> None:
        """The same with the adapter, which takes over step by step if people rate it no worse."""
        stable = self.variants["prompted"]
        del stable["weight"]
        self.variants["adapted"] = {**stable, "adapter": ADAPTER}
        self.arms = {f"eval-{name}": {"variants": {name: {**one, "weight": 1}}} for name, one in self.variants.items()}
        required = {"margin": "5%", "required": True}
        self.rollout = {
            "stable": "prompted", "candidate": "adapted", "steps": ["25%", "50%"], "minimum_time": "2s",
            "minimum_units": 30, "soak": "3s", "guardrails": {"error": required, "feedback": required},
        }  # fmt: skip
        self.write()

    def write(self) -> None:
        """The configuration as it is by now."""
        route: dict[str, Any] = {"interactions": {"share": 1.0}, "variants": self.variants}
        if self.rollout is not None:
            route["rollout"] = dict(self.rollout)
        backend = {
            "kind": "embedded", "model": str(ROOT / "models" / "demo" / "weights"), "dtype": "float32",
            "block_size": 32, "kv_cache_memory_bytes": 128 << 20,
        }  # fmt: skip
        content = {
            "version": 1,
            "backends": {"local": backend},
            "adapters": ["adapters"],
            "routes": {ROUTE: route, **self.arms},
        }
        (self.folder / "adapters").mkdir(exist_ok=True)
        self.config.write_text(yaml.safe_dump(content, sort_keys=False))

    def recipe(self, steps: int) -> Path:
        """How the adapter is trained: on the export, with what the prompt got wrong three times as often."""
        path = self.folder / "recipe.yaml"
        training = {"rank": 8, "alpha": 16, "steps": steps, "lr": 0.003, "batch_tokens": 512}
        path.write_text(yaml.safe_dump({
            "name": ADAPTER.partition("@")[0], "version": ADAPTER.partition("@")[2],
            "base": {"path": str(ROOT / "models" / "demo" / "weights"), "name": "trivet-demo"},
            "data": "chats/train.jsonl", "held_out": "chats/held-out.jsonl", "training": training, "out": "adapters",
        }))  # fmt: skip
        return path
