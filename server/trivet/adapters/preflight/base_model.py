"""The base model that adapters must fit: its linear modules, from the headers of its own weights."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path

from trivet.adapters.preflight.safetensors_header import TensorEntry, read_header

CONV1D = frozenset({"gpt2", "openai-gpt"})  # models of transformers whose layers are its `Conv1D`
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


class BaseModel:
    """A model's folder in Hugging Face format. Reading is lazy, and done once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def modules(self) -> dict[str, tuple[int, int]]:
        """(rows, columns) of the weight of every module that can take an adapter: the matrices inside the layers.

        Embeddings and the output head are not among them.
        """
        found: dict[str, tuple[int, int]] = {}
        for name, entry in self._tensors().items():
            module = name.removesuffix(".weight")
            if module != name and len(entry.shape) == 2 and _NUMBER.search(module):
                found[module] = (entry.shape[0], entry.shape[1])
        return found

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
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return config.get("model_type") in CONV1D

    def beyond(self, module: str) -> int | None:
        """The layer index that a module's name has and the model has not, if it would be fine but for that."""
        if module in self.modules or _NUMBER.sub("*", module) not in self._patterns:
            return None
        return int(_NUMBER.findall(module)[0])

    @cached_property
    def _patterns(self) -> set[str]:
        return {_NUMBER.sub("*", module) for module in self.modules}

    def _tensors(self) -> dict[str, TensorEntry]:
        tensors: dict[str, TensorEntry] = {}
        for path in self.weight_files:
            if path.suffix == ".safetensors":
                tensors.update(read_header(path))
        return tensors

    @property
    def weight_files(self) -> list[Path]:
        """The files of its weights; for sharded ones the index and then the shards."""
        single = self.folder / "model.safetensors"
        if single.exists():
            return [single]
        index = self.folder / "model.safetensors.index.json"
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        return [index, *(self.folder / shard for shard in shards)]
