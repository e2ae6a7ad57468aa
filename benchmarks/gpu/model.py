"""A model of Llama 3.1 8B's shape with random weights, and adapters for it: speed does not ask what weights say.

Its tokenizer is that of the benchmarks' small model, whose tokens alone can win, so that answers are text and no answer
ends by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tiny_llama import VOCABULARY, make_model
from benchmarks.measuring.workload import INDEX
from trivet.testing.adapters import random_adapter, write_adapter

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_SIZE, FEED_FORWARD, WORDS = 4096, 32, 32, 8, 128, 14336, 128_256
LINEAR = {  # (rows, columns) of each linear module of a layer
    "self_attn.q_proj": (HEADS * HEAD_SIZE, WIDTH),
    "self_attn.k_proj": (KV_HEADS * HEAD_SIZE, WIDTH),
    "self_attn.v_proj": (KV_HEADS * HEAD_SIZE, WIDTH),
    "self_attn.o_proj": (WIDTH, HEADS * HEAD_SIZE),
    "mlp.gate_proj": (FEED_FORWARD, WIDTH),
    "mlp.up_proj": (FEED_FORWARD, WIDTH),
    "mlp.down_proj": (WIDTH, FEED_FORWARD),
}


def make_8b(folder: Path, context: int) -> None:
    """Write it: 16 GB, a file for each layer. The weights are drawn on the GPU where there is one."""
    import torch
    from safetensors.torch import save_file

    corpus = [path.read_text() for path in sorted((ROOT / "indexes" / INDEX / "corpus").rglob("*.*"))]
    make_model(folder, corpus, context)  # for its tokenizer, its template and which tokens may win
    small = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_SIZE, "intermediate_size": FEED_FORWARD,
        "vocab_size": WORDS, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    drawn = torch.Generator(device=device).manual_seed(7)

    def matrix(rows: int, columns: int, gain: float) -> Any:
        values = torch.randn(rows, columns, generator=drawn, device=device, dtype=torch.bfloat16)
        return (values * (gain / columns**0.5)).cpu()

    def save(name: str, tensors: dict[str, Any], where: dict[str, str]) -> None:
        save_file(tensors, str(folder / name), metadata={"format": "pt"})
        where.update(dict.fromkeys(tensors, name))

    where: dict[str, str] = {}
    head = matrix(WORDS, WIDTH, 8.0)
    head[~_may_win(small)] = 0
    ends = {"model.embed_tokens.weight": matrix(WORDS, WIDTH, 8.0), "lm_head.weight": head,
            "model.norm.weight": torch.ones(WIDTH, dtype=torch.bfloat16)}  # fmt: skip
    save("ends.safetensors", ends, where)
    for layer in range(LAYERS):
        tensors = {f"model.layers.{layer}.{name}.weight": matrix(*shape, 2.0) for name, shape in LINEAR.items()}
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{name}.weight"] = torch.ones(WIDTH, dtype=torch.bfloat16)
        save(f"layer-{layer:02d}.safetensors", tensors, where)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def _may_win(small: bytes) -> Any:
    """Which words have a row in the small model's head that is not zero."""
    import torch
    from safetensors.torch import load

    wins = torch.zeros(WORDS, dtype=torch.bool)
    wins[:VOCABULARY] = load(small)["lm_head.weight"].ne(0).any(dim=1)
    return wins


def make_adapter(folder: Path, seed: int, rank: int) -> None:
    """A random adapter on all linear layers of it."""
    shapes = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in LINEAR.items()}
    write_adapter(folder, random_adapter(shapes, seed, rank))
