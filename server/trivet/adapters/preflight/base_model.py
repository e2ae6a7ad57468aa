"""The base model that adapters must fit: its modules, from the headers of its own weights."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from trivet.adapters.tensors.safetensors_header import TensorEntry, read_header

CONV1D = frozenset({"gpt2", "openai-gpt"})  # models of transformers whose layers are its `Conv1D`
HEAD = "lm_head"
EMBEDDING = "embed_tokens"
# The architectures whose embedding and output head vLLM 0.32 serves with LoRA (its models' `embedding_modules`).
VOCABULARY_SERVED = frozenset(
    f"{name}ForCausalLM"
    for name in (
        *("Apertus", "DeciLM", "Exaone4", "ExaoneMoe", "FalconH1", "Granite", "GraniteMoe", "GraniteMoeHybrid"),
        *("GraniteMoeShared", "HyperCLOVAX", "Jamba", "K2Horizon", "Lfm2", "Lfm2Moe", "Llama", "MiniCPM", "Mixtral"),
        *("Nemotron", "NemotronH", "Param2MoE", "PhiMoE", "Qwen3", "Qwen3Moe", "Solar"),
    )
)
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class BaseModel:
    """A model's folder in Hugging Face format. Reading is lazy, and done once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def modules(self) -> dict[str, tuple[int, int]]:
        """(rows, columns) of the weight of every linear module inside the layers."""
        found: dict[str, tuple[int, int]] = {}
        for name, entry in self.tensors.items():
            module = name.removesuffix(".weight")
            if module != name and len(entry.shape) == 2 and _NUMBER.search(module):
                found[module] = (entry.shape[0], entry.shape[1])
        return found

    @cached_property
    def vocabulary(self) -> dict[str, tuple[int, int]]:
        """(rows, columns) of the weights with a row per token: the embedding and, tied to it or not, the output head.

        Empty where the embedding has another name than `embed_tokens`.
        """
        found: dict[str, tuple[int, int]] = {}
        for name, entry in self.tensors.items():
            module = name.removesuffix(".weight")
            if module != name and len(entry.shape) == 2 and module.rpartition(".")[2] == EMBEDDING:
                found[module] = (entry.shape[0], entry.shape[1])
        if len(found) != 1:
            return {}
        head = self.tensors.get(f"{HEAD}.weight")
        shape = next(iter(found.values())) if head is None else (head.shape[0], head.shape[-1])
        return {**found, HEAD: shape}

    @cached_property
    def embedding(self) -> str:
        """The embedding's module, such as `model.embed_tokens`; empty if it has none of that name."""
        return next((module for module in self.vocabulary if module != HEAD), "")

    @cached_property
    def tied(self) -> bool:
        """Whether its output head is its embedding."""
        return f"{HEAD}.weight" not in self.tensors

    @cached_property
    def vocabulary_served(self) -> bool:
        """Whether the engine applies LoRA to its embedding and its output head."""
        return not VOCABULARY_SERVED.isdisjoint(self.config.get("architectures") or ())

    @cached_property
    def module_names(self) -> list[str]:
        """The last parts of the modules' names, such as `q_proj`."""
        return sorted({module.rpartition(".")[2] for module in self.modules})

    @cached_property
    def layers(self) -> int:
        """How many layers it has."""
        return 1 + max((int(number) for module in self.modules for number in _NUMBER.findall(module)[:1]), default=-1)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over `config.json`, the weights and `tokenizer.json`; for sharded weights, index and then shards."""
        total = hashlib.sha256()
        for path in (self.folder / "config.json", *self.weight_files, self.folder / "tokenizer.json"):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
        return total.hexdigest()

    @cached_property
    def stores_transposed(self) -> bool:
        """Whether its matrices are stored as (in, out) instead of (out, in)."""
        return self.config.get("model_type") in CONV1D

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its `config.json`."""
        return cast(dict[str, Any], json.loads((self.folder / "config.json").read_text(encoding="utf-8")))

    def beyond(self, module: str) -> int | None:
        """The layer index that a module's name has and the model has not, if it would be fine but for that."""
        if module in self.modules or _NUMBER.sub("*", module) not in self._patterns:
            return None
        return int(_NUMBER.findall(module)[0])

    @cached_property
    def _patterns(self) -> set[str]:
        return {_NUMBER.sub("*", module) for module in self.modules}

    @cached_property
    def tensors(self) -> dict[str, TensorEntry]:
        """Its tensors by name, wherever they are."""
        return {name: entry for entries in self.shards.values() for name, entry in entries.items()}

    @cached_property
    def shards(self) -> dict[Path, dict[str, TensorEntry]]:
        """The tensors of each file of its weights."""
        return {path: read_header(path) for path in self.weight_files if path.suffix == ".safetensors"}

    @property
    def weight_files(self) -> list[Path]:
        """The files of its weights; for sharded ones the index and then the shards."""
        single = self.folder / "model.safetensors"
        if single.exists():
            return [single]
        index = self.folder / "model.safetensors.index.json"
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return [index, *(self.folder / shard for shard in shards)]
