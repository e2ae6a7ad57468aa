"""Write a run's weights as an ordinary Hugging Face folder, which transformers and vLLM load without knowing us."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from mixture import example
from network import Config, Network
from tokenizer import CHAT_TEMPLATE, END, FILE, PAD, SPECIAL, render

HERE = Path(__file__).parent
WEIGHTS = HERE / "weights"


def load_run(folder: Path) -> Network:
    """The network of the checkpoint in a run's folder."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    network = Network(Config())
    network.load_state_dict(state["network"])
    network.eval()
    return network


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def export(network: Network, folder: Path = WEIGHTS) -> None:
    """Write the folder, then prove that transformers computes the same from it."""
    folder.mkdir(parents=True, exist_ok=True)
    if folder.resolve() != FILE.parent.resolve():
        shutil.copyfile(FILE, folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    end, padding = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    config = network.config
    _write(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": config.vocabulary,
        "hidden_size": config.width, "intermediate_size": config.feed_forward, "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads, "num_key_value_heads": config.heads, "head_dim": config.head,
        "hidden_act": "silu", "max_position_embeddings": config.positions, "rms_norm_eps": config.epsilon,
        "rope_theta": config.theta, "rope_parameters": {"rope_type": "default", "rope_theta": config.theta},
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True, "initializer_range": 0.02,
        "bos_token_id": None, "eos_token_id": end, "pad_token_id": padding, "dtype": "float32", "use_cache": True,
    })  # fmt: skip
    _write(folder / "generation_config.json", {"do_sample": False, "eos_token_id": end, "pad_token_id": padding})
    _write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config.positions, "eos_token": END,
        "pad_token": PAD, "bos_token": None, "unk_token": None, "add_bos_token": False, "add_eos_token": False,
        "clean_up_tokenization_spaces": False, "additional_special_tokens": list(SPECIAL[2:]),
        "chat_template": CHAT_TEMPLATE,
    })  # fmt: skip
    tensors = {name: weight.detach().contiguous() for name, weight in network.state_dict().items()}
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    verify(network, folder)


@torch.no_grad()  # type: ignore[untyped-decorator]
def verify(network: Network, folder: Path) -> None:
    """The exported folder must render, tokenize and compute as the training did."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    other = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rng = random.Random(0)
    for _ in range(20):
        turns = example(rng, split="held-out")
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        ids = tokenizer.apply_chat_template(messages, return_dict=False)
        if ids != plain.encode(render(turns)).ids:
            raise RuntimeError("the exported chat template does not render as the training did")
        batch = torch.tensor([ids])
        difference = (other(batch).logits - network(batch)).abs().max().item()
        if difference > 1e-3:
            raise RuntimeError(f"the exported weights give other logits: off by {difference}")
