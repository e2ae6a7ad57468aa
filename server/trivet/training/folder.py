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

BASE_FILES = ("config.json", "model.safetensors", "tokenizer.json")
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def fingerprint(base: Path) -> str:
    """The identity of a base model: sha256 over the files that decide its outputs."""
    return _sha256(base / name for name in BASE_FILES)


def digest(folder: Path) -> str:
    """The identity of an adapter: sha256 over its PEFT files."""
    return _sha256(folder / name for name in ADAPTER_FILES)


def write(
    model: Any, folder: Path, *, name: str, version: str, base: Path, base_name: str, recipe: Mapping[str, Any]
) -> None:
    """Write the adapter of a trained model. Only the two PEFT files and the manifest: no model card, no code."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        model.save_pretrained(scratch, safe_serialization=True, save_embedding_layers=False)
        config = json.loads((Path(scratch) / ADAPTER_FILES[0]).read_text())
        config["base_model_name_or_path"] = base_name
        config["target_modules"] = sorted(config["target_modules"])  # a set: its order is not stable
        (folder / ADAPTER_FILES[0]).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
        (folder / ADAPTER_FILES[1]).write_bytes((Path(scratch) / ADAPTER_FILES[1]).read_bytes())
    manifest = {
        "name": name,
        "version": version,
        "base": {"name": base_name, "fingerprint": fingerprint(base)},
        "rank": config["r"],
        "digest": digest(folder),
        "recipe": dict(recipe),
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    (folder / "adapter.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


def _sha256(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()
