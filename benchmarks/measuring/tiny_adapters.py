"""Random LoRA adapters for the benchmark's model, and ways to spoil one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.measuring.tiny_llama import FEED_FORWARD, HEAD_SIZE, HEADS, LAYERS, WIDTH
from trivet.testing.adapters import AdapterFiles, digest, random_adapter
from trivet.testing.adapters import write_adapter as write_files

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
SPOILT = ("nan", "shape", "missing half", "layer", "rank", "dora", "digest", "truncated", "pickle")


def write_adapter(folder: Path, seed: int, rank: int = 8, spoilt: str = "") -> str:
    """Write `<name>/<version>/` whole; returns its digest. `spoilt`, of SPOILT: one that must be refused."""
    shapes = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in SHAPES.items()}
    files = random_adapter(shapes, seed, rank)
    _spoil_content(files, spoilt)
    write_files(folder, files)
    if spoilt == "truncated":
        weights = folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
    found = digest(folder)
    if spoilt == "pickle":
        (folder / "adapter_model.safetensors").unlink()
        (folder / "adapter_model.bin").write_bytes(b"\x80\x04N.")
    return found


def _spoil_content(files: AdapterFiles, spoilt: str) -> None:
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    config, tensors = files.config, files.tensors
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
    elif spoilt == "digest":
        files.manifest["digest"] = "0" * 64
