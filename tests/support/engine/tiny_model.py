"""A tiny random Llama with its tokenizer, and random LoRA adapters for it: small, but everything real about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from trivet.testing.adapters import AdapterFiles, Tensors, random_adapter

VOCABULARY = 320
HIDDEN = 64
LAYERS = 2
HEADS = 2
HEAD_SIZE = 32
FEED_FORWARD = 128
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
EOS = 2


def _tokenizer() -> Tokenizer:
    special = ["<pad>", "<s>", "</s>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*special, *letters]
    pairs = [(a, b) for a in "etaoins" for b in "etaoinshr"]
    entries += ["".join(pair) for pair in pairs[: VOCABULARY - len(entries)]]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    merges = [pair for pair in pairs if "".join(pair) in vocabulary]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return tokenizer


def _config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_SIZE,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": EOS,
        "pad_token_id": 0,
    }


def module_shapes() -> dict[str, tuple[int, int]]:
    """(out, in) of every linear module, by its name in the checkpoint."""
    attention, feed_forward = (HIDDEN, HIDDEN), (FEED_FORWARD, HIDDEN)
    shapes: dict[str, tuple[int, int]] = {}
    for layer in range(LAYERS):
        for name in MODULES[:4]:
            shapes[f"model.layers.{layer}.self_attn.{name}"] = attention
        for name in MODULES[4:6]:
            shapes[f"model.layers.{layer}.mlp.{name}"] = feed_forward
        shapes[f"model.layers.{layer}.mlp.down_proj"] = (HIDDEN, FEED_FORWARD)
    return shapes


def make_model(folder: Path, seed: int = 7) -> Path:
    """Write the model; its weights are scaled so that greedy answers vary, and so that it never ends by itself."""
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, gain: float) -> np.ndarray[Any, np.dtype[np.float32]]:
        values = random.standard_normal((rows, columns)) * gain / np.sqrt(columns)
        return np.asarray(values, np.float32)

    tensors: Tensors = {"model.embed_tokens.weight": matrix(VOCABULARY, HIDDEN, 8.0)}
    for name, (rows, columns) in module_shapes().items():
        tensors[f"{name}.weight"] = matrix(rows, columns, 2.0)
    for layer in range(LAYERS):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = np.ones(HIDDEN, np.float32)
    tensors["model.norm.weight"] = np.ones(HIDDEN, np.float32)
    head = matrix(VOCABULARY, HIDDEN, 8.0)
    head[: EOS + 1] = 0  # special tokens score 0, and something always scores more
    tensors["lm_head.weight"] = head
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config()))
    _tokenizer().save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names}))
    return folder


def adapter_files(seed: int, rank: int = 8, modules: Mapping[str, tuple[int, int]] | None = None) -> AdapterFiles:
    """A random adapter on all of the model's linear modules, or on these."""
    return random_adapter(modules or module_shapes(), seed, rank)
