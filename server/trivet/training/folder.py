"""An adapter's folder: PEFT files and `adapter.yaml`, which says what they are and what they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
MANIFEST = "adapter.yaml"
_SHARDS = "model.safetensors.index.json"


def fingerprint(base: Path) -> str:
    """The identity of a base model: sha256 over the files that decide its outputs. OSError if one is missing."""
    weights = base / "model.safetensors"
    shards: list[Path] = [weights]
    if not weights.exists() and (base / _SHARDS).exists():
        named = set(json.loads((base / _SHARDS).read_text())["weight_map"].values())
        shards = [base / _SHARDS, *(base / name for name in sorted(named))]
    return _sha256((base / "config.json", *shards, base / "tokenizer.json"))


def digest(folder: Path) -> str:
    """The identity of an adapter: sha256 over its PEFT files."""
    return _sha256(folder / name for name in ADAPTER_FILES)


def write(
    model: Any,
    folder: Path,
    *,
    name: str,
    version: str,
    base: Mapping[str, str],
    recipe: Mapping[str, Any],
    told: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Write the adapter of a trained model and give its manifest: the two PEFT files, no model card, no code.

    `base`: its name and fingerprint. `told`: what else the manifest says (data, metrics, cost, libraries).
    """
    folder.mkdir(parents=True)
    with TemporaryDirectory() as scratch:
        model.save_pretrained(scratch, safe_serialization=True, save_embedding_layers=False)
        config = json.loads((Path(scratch) / ADAPTER_FILES[0]).read_text())
        config["base_model_name_or_path"] = base["name"]
        config["target_modules"] = sorted(config["target_modules"])  # a set: its order is not stable
        (folder / ADAPTER_FILES[0]).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        (folder / ADAPTER_FILES[1]).write_bytes((Path(scratch) / ADAPTER_FILES[1]).read_bytes())
    manifest = {
        "name": name,
        "version": version,
        "base": dict(base),
        **_kind(config["alora_invocation_tokens"]),
        "rank": config["r"],
        "digest": digest(folder),
        "recipe": dict(recipe),
        **told,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    (folder / MANIFEST).write_text(yaml.safe_dump(manifest, sort_keys=False))
    return manifest


def _kind(invocation: list[int] | None) -> dict[str, Any]:
    """What the manifest says of an activated LoRA; nothing of a plain one."""
    return {"kind": "alora", "invocation": invocation} if invocation else {}


def _sha256(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                total.update(block)
    return total.hexdigest()
