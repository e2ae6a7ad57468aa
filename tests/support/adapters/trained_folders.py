"""Folders with an adapter as trainers leave them: other names of tensors, other fields, much beside the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.support.engine.tiny_model import adapter_files
from trivet.testing.adapters import AdapterFiles

PREFIX = "base_model.model."
STATE = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "trainer_state.json", "README.md")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
# What PEFT writes beside the fields that everybody sets, as of 0.5 and of 0.21.
OLD_FIELDS: dict[str, Any] = {
    "auto_mapping": None,
    "fan_in_fan_out": False,
    "init_lora_weights": True,
    "layers_pattern": None,
}
OLD_FIELDS |= {"layers_to_transform": None, "modules_to_save": None, "revision": None, "rank_pattern": None}
NEW_FIELDS: dict[str, Any] = OLD_FIELDS | {
    "alora_invocation_tokens": None, "arrow_config": None, "corda_config": None, "ensure_weight_tying": False,
    "eva_config": None, "exclude_modules": None, "kasa_config": None, "layer_replication": None, "loftq_config": {},
    "lora_bias": False, "lora_ga_config": None, "megatron_config": None, "megatron_core": "megatron.core",
    "monteclora_config": None, "peft_version": "0.21.2", "qalora_group_size": 16, "target_parameters": None,
    "trainable_token_indices": None, "use_bdlora": None, "use_qalora": False, "velora_config": None,
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """How a trainer writes. `rename` is applied to PEFT's names; `copies`: tensors of the base that are saved too."""

    fields: Mapping[str, Any]
    beside: tuple[str, ...]
    rename: Callable[[str], str] = str
    copies: tuple[str, ...] = ()
    half: bool = False

    def write(self, folder: Path, base: Path, files: AdapterFiles | None = None) -> Path:
        """Write an adapter of all linear modules; gives the folder."""
        files = files or adapter_files(21)
        dtype = np.float16 if self.half else np.float32
        tensors = {self.rename(name): values.astype(dtype) for name, values in files.tensors.items()}
        bases = load_file(base / "model.safetensors")
        tensors |= {self.rename(PREFIX + name): bases[name] for name in self.copies}
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps(files.config | dict(self.fields)))
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        for name in self.beside:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\x80\x04.")
        return folder


def _adapter_name(name: str) -> str:
    return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")


def _wrapped(name: str) -> str:
    return name.replace("model.layers.", "model._fsdp_wrapped_module.layers.").replace(
        ".self_attn.", "._fsdp_wrapped_module.self_attn._checkpoint_wrapped_module."
    )


UNSLOTH = NEW_FIELDS | {
    "auto_mapping": {"base_model_class": "LlamaForCausalLM", "unsloth_fixed": True},
    "base_model_name_or_path": "unsloth/tiny-bnb-4bit",
}
TRAINED = {
    "unsloth": Trained(UNSLOTH, (*TOKENIZER, "README.md"), half=True),
    "unsloth, embeddings saved with it": Trained(
        UNSLOTH | {"modules_to_save": ["embed_tokens", "lm_head"]},
        TOKENIZER,
        copies=("model.embed_tokens.weight", "lm_head.weight"),
    ),
    "trl checkpoint": Trained(NEW_FIELDS, (*STATE, *TOKENIZER)),
    "trl output": Trained(NEW_FIELDS, ("training_args.bin", *(f"checkpoint-500/{name}" for name in STATE), "runs/e.1")),
    "llama-factory": Trained(
        NEW_FIELDS | {"modules_to_save": []}, ("all_results.json", "training_loss.png", "trainer_log.jsonl", *STATE)
    ),
    "axolotl with FSDP": Trained(NEW_FIELDS, ("config.json", "debug.log", ".git/HEAD", *STATE), rename=_wrapped),
    "old peft": Trained(OLD_FIELDS, ("README.md",)),
    "all-linear": Trained(NEW_FIELDS | {"target_modules": "all-linear"}, ()),
    "a pattern of targets": Trained(
        NEW_FIELDS | {"target_modules": r"model\.layers\.\d+\.(self_attn|mlp)\..*_proj"}, ()
    ),
    "prefix twice": Trained(NEW_FIELDS, (), rename=lambda name: PREFIX + name),
    "no prefix": Trained(NEW_FIELDS, (), rename=lambda name: name.removeprefix(PREFIX)),
    "no prefix, nor the model's": Trained(NEW_FIELDS, (), rename=lambda name: name.removeprefix(PREFIX + "model.")),
    "the adapter's name in names": Trained(NEW_FIELDS, (), rename=_adapter_name),
    "compiled, under DDP": Trained(NEW_FIELDS, (), rename=lambda name: "module._orig_mod." + name),
}
