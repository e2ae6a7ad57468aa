"""A random Llama of the demo model's size (d=128, 4 layers, vocabulary 1,536) that never ends an answer by itself.

Its weights cost the engine what the demo's would, and every greedy answer is as long as `max_tokens` allows, so that
all systems do the same work. Only tokens of printable ASCII can win: each token is whole text, and none is held back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 1536
WIDTH = 128
LAYERS = 4
HEADS = 8
HEAD_SIZE = 32
FEED_FORWARD = 352
SPECIAL = ["<pad>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
Tensor = np.ndarray[Any, np.dtype[np.float32]]


def make_model(folder: Path, texts: list[str], context: int, seed: int = 7) -> None:
    """Write it into `folder` in Hugging Face's format; its tokenizer is trained on `texts`."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(texts)
    tokenizer.save(str(folder / "tokenizer.json"))
    save_file(_tensors(tokenizer, seed), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_config(context), indent=1))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def _tokenizer(texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _tensors(tokenizer: Tokenizer, seed: int) -> dict[str, Tensor]:
    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int, gain: float) -> Tensor:
        values = random.standard_normal((rows, columns)) * gain / np.sqrt(columns)
        return np.asarray(values, np.float32)

    head = matrix(VOCABULARY, WIDTH, 8.0)
    for token in range(VOCABULARY):
        if not _is_text(tokenizer, token):
            head[token] = 0  # scores 0, and something always scores more
    tensors = {
        "model.embed_tokens.weight": matrix(VOCABULARY, WIDTH, 8.0),
        "lm_head.weight": head,
        "model.norm.weight": np.ones(WIDTH, np.float32),
    }
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        inner = HEADS * HEAD_SIZE
        for part in ("q_proj", "k_proj", "v_proj"):
            tensors[f"{name}.self_attn.{part}.weight"] = matrix(inner, WIDTH, 2.0)
        tensors[f"{name}.self_attn.o_proj.weight"] = matrix(WIDTH, inner, 2.0)
        for part in ("gate_proj", "up_proj"):
            tensors[f"{name}.mlp.{part}.weight"] = matrix(FEED_FORWARD, WIDTH, 2.0)
        tensors[f"{name}.mlp.down_proj.weight"] = matrix(WIDTH, FEED_FORWARD, 2.0)
        for part in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{name}.{part}.weight"] = np.ones(WIDTH, np.float32)
    return tensors


def _is_text(tokenizer: Tokenizer, token: int) -> bool:
    text = tokenizer.decode([token])
    return bool(text) and text.isascii() and text.isprintable()


def _config(context: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_SIZE,
        "max_position_embeddings": context,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
