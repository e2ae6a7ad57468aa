"""Random LoRA adapters, small or large, written as PEFT writes them: everything about them is real but the training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

Tensors = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True)
class AdapterFiles:
    """What an adapter consists of, before it is written: change it to make a bad one."""

    config: dict[str, Any]
    tensors: Tensors
    manifest: dict[str, Any]


def random_adapter(shapes: Mapping[str, tuple[int, int]], seed: int, rank: int = 8) -> AdapterFiles:
    """A random adapter whose deltas are about as large as the base's weights, so that it answers in its own way.

    `shapes`: (out, in) of each linear module, by its name in the base's checkpoint.
    """
    random = np.random.default_rng(seed)
    tensors: Tensors = {}
    for name, (rows, columns) in shapes.items():
        a = random.standard_normal((rank, columns)) / np.sqrt(columns)
        b = random.standard_normal((rows, rank)) / np.sqrt(rank)
        tensors[f"base_model.model.{name}.lora_A.weight"] = a.astype(np.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = b.astype(np.float32)
    modules = list(dict.fromkeys(name.rpartition(".")[2] for name in shapes))
    return AdapterFiles(_config(modules, rank), tensors, {"rank": rank})


def write_adapter(folder: Path, files: AdapterFiles) -> Path:
    """Write it as PEFT does, and an `adapter.yaml` with the digest unless the manifest has one."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(files.config))
    save_file(files.tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter.yaml").write_text(yaml.safe_dump({"digest": digest(folder), **files.manifest}))
    return folder


def digest(folder: Path) -> str:
    """SHA-256 over the configuration's and then the weights' bytes."""
    both = (folder / "adapter_config.json").read_bytes() + (folder / "adapter_model.safetensors").read_bytes()
    return hashlib.sha256(both).hexdigest()


def _config(modules: list[str], rank: int) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": modules,
        "bias": "none",
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
