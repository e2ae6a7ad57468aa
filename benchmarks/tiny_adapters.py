"""Random LoRA adapters for the benchmark's model: strong enough that each answers in its own way."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import save_file

from tiny_llama import FEED_FORWARD, HEAD_SIZE, HEADS, LAYERS, WIDTH, Tensor

INNER = HEADS * HEAD_SIZE
SHAPES = {  # (rows, columns) of each linear module of a layer
    "self_attn.q_proj": (INNER, WIDTH),
    "self_attn.k_proj": (INNER, WIDTH),
    "self_attn.v_proj": (INNER, WIDTH),
    "self_attn.o_proj": (WIDTH, INNER),
    "mlp.gate_proj": (FEED_FORWARD, WIDTH),
    "mlp.up_proj": (FEED_FORWARD, WIDTH),
    "mlp.down_proj": (WIDTH, FEED_FORWARD),
}


def write_adapter(folder: Path, seed: int, rank: int = 8, spoilt: str = "") -> str:
    """Write `<name>/<version>/` as PEFT does, with its manifest; returns its digest (SHA-256, hex).

    `spoilt` makes one that must be refused: "nan", "shape", "missing half", "layer", "rank", "dora", "digest",
    "truncated" or "pickle".
    """
    folder.mkdir(parents=True)
    config, tensors = _config(rank), _tensors(seed, rank)
    _spoil_content(config, tensors, spoilt)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = folder / "adapter_model.safetensors"
    save_file(tensors, weights, metadata={"format": "pt"})
    if spoilt == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    if spoilt == "pickle":
        (folder / "adapter_model.bin").write_bytes(b"\x80\x04N.")
    total = hashlib.sha256((folder / "adapter_config.json").read_bytes() + weights.read_bytes()).hexdigest()
    told = "0" * 64 if spoilt == "digest" else total
    (folder / "adapter.yaml").write_text(yaml.safe_dump({"rank": rank, "digest": told}))
    return total


SPOILT = ("nan", "shape", "missing half", "layer", "rank", "dora", "digest", "truncated", "pickle")


def _spoil_content(config: dict[str, object], tensors: dict[str, Tensor], spoilt: str) -> None:
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    if spoilt == "nan":
        tensors[first][0, 0] = np.nan
    elif spoilt == "shape":
        tensors[first] = tensors[first][:, :-1].copy()
    elif spoilt == "missing half":
        del tensors[first]
    elif spoilt == "layer":
        tensors[first.replace("layers.0", f"layers.{LAYERS}")] = tensors[first]
    elif spoilt == "rank":
        config["r"] = 512
    elif spoilt == "dora":
        config["use_dora"] = True


def _config(rank: int) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "bench",
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "target_modules": [module.partition(".")[2] for module in SHAPES],
        "bias": "none",
    }


def _tensors(seed: int, rank: int) -> dict[str, Tensor]:
    random = np.random.default_rng(seed)
    tensors: dict[str, Tensor] = {}
    for layer in range(LAYERS):
        for module, (rows, columns) in SHAPES.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            a, b = random.standard_normal((rank, columns)), random.standard_normal((rows, rank))
            tensors[f"{name}.lora_A.weight"] = (a / np.sqrt(columns)).astype(np.float32)
            tensors[f"{name}.lora_B.weight"] = (b / np.sqrt(rank)).astype(np.float32)
    return tensors
