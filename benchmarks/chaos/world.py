"""What the chaos happens in: a model, a dozen adapters of two versions each, bad ones, a configuration to rewrite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tiny_adapters import SPOILT, write_adapter
from benchmarks.measuring.tiny_llama import make_model
from benchmarks.measuring.workload import CONTEXT, INDEX, PROMPT, PROMPTS_FOLDER

ADAPTERS = 12
VERSIONS = ("1", "2")
SLOTS = 4
MAX_TOKENS = 16
BASE = "base"  # the route without an adapter
QUESTIONS = (
    "Which lamp is the lightest?",
    "How long does the battery of the hub last?",
    "Who repairs the lantern?",
    "What is the fee?",
)


@dataclass
class World:
    """Files below `folder`. `serving`: the adapter version of each route; `digests`: of every good version."""

    folder: Path
    adapters: int = ADAPTERS
    serving: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    bad: tuple[str, ...] = tuple(f"bad-{kind.replace(' ', '-')}@1" for kind in SPOILT)

    @property
    def config(self) -> Path:
        """The server's configuration, which `serve` rewrites."""
        return self.folder / "trivet.yaml"

    @property
    def versions(self) -> list[str]:
        """Every good adapter version, as name@version."""
        return list(self.digests)

    def make(self) -> None:
        """Write everything; at first the configuration has a route for each version, to ask each alone."""
        corpus = [path.read_text() for path in sorted((ROOT / "indexes" / INDEX / "corpus").rglob("*.*"))]
        make_model(self.folder / "model", corpus, CONTEXT)
        root = self.folder / "adapters"
        for number in range(self.adapters):
            for version in VERSIONS:
                folder = root / f"a{number:02d}" / version
                self.digests[f"a{number:02d}@{version}"] = write_adapter(folder, 100 * int(version) + number)
        for ref, kind in zip(self.bad, SPOILT, strict=True):
            write_adapter(root / ref.partition("@")[0] / "1", 7, spoilt=kind)
        self.serve({f"{ref.replace('@', '-')}": ref for ref in self.versions})

    def serve(self, adapters: Mapping[str, str]) -> None:
        """Write the configuration in which each of these routes has its adapter, whole or not at all."""
        self.serving = dict(adapters)
        fresh = self.config.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(_config(self.folder, adapters), sort_keys=False))
        fresh.replace(self.config)


def _config(folder: Path, adapters: Mapping[str, str]) -> dict[str, object]:
    variant = {"weight": 1.0, "backend": "bench", "prompt": str(PROMPT), "sampling": {"max_tokens": MAX_TOKENS}}
    routes = {BASE: {"variants": {"only": variant}}}
    for route, ref in adapters.items():
        # A variant is immutable: another adapter is another variant.
        routes[route] = {"variants": {ref.replace("@", "-"): {**variant, "adapter": ref}}}
    backend = {
        "kind": "embedded",
        "model": str(folder / "model"),
        "dtype": "float32",
        "block_size": 32,
        "max_model_len": CONTEXT,
        "kv_cache_memory_bytes": 64 << 20,
        "max_loras": SLOTS,
        "max_cpu_loras": 2 * ADAPTERS,
    }
    return {
        "version": 1,
        "backends": {"bench": backend},
        "prompts": str(PROMPTS_FOLDER),
        "adapters": [str(folder / "adapters")],
        "routes": routes,
    }


def staged_copies(data: Path) -> set[str]:
    """What lies in a server's folder of copies: `name@version#digest12`, and whatever does not belong there."""
    folder = data / "adapters"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def dump(value: object) -> str:
    """For the report's end."""
    return json.dumps(value, indent=1, sort_keys=True)
