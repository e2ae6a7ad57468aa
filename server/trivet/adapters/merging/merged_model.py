"""A base model with an adapter merged in, as a folder of its own in Hugging Face format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from trivet.adapters.merging.merged_weights import MergedWeights
from trivet.adapters.preflight.base_model import BaseModel
from trivet.types.adapter import StagedAdapter

MARK = "merged.yaml"
# What a model is beside its weights: configuration, tokenizer, chat templates, licence. No code, no other weights.
SUFFIXES = frozenset({".json", ".jinja", ".model", ".tiktoken", ".txt"})
LICENCES = ("LICENSE", "LICENCE", "NOTICE")
TEMPLATES = "additional_chat_templates"
CONFIG = "config.json"
# A tokenizer, as transformers saves one; an adapter with a vocabulary of another size brings its own.
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("merges.txt", "tokenizer.model", "chat_template.jinja"),
)


class MergedModel:
    """`adapter` passed the preflight against `base`, to be merged; its copy may have a tokenizer beside."""

    def __init__(self, base: BaseModel, adapter: StagedAdapter) -> None:
        """Raises AdapterRejected if the base's weights are in a dtype that cannot be added to."""
        self._base = base
        self._adapter = adapter
        self._weights = MergedWeights(base, adapter.path)

    @property
    def tensors(self) -> int:
        """How many tensors there are to write."""
        return self._weights.tensors

    def write(self, folder: Path, on_tensor: Callable[[], object] = lambda: None) -> Mapping[str, Any]:
        """Write the model into an empty folder and give what its `merged.yaml` says; blocks.

        Raises AdapterRejected if a merged value does not fit the base's dtype.
        """
        for path in self._companions():
            copy = folder / path.relative_to(self._base.folder)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy)
        if self._brings_tokenizer:
            for name in TOKENIZER:
                if (self._adapter.path / name).is_file():
                    shutil.copyfile(self._adapter.path / name, folder / name)
        self._amend_config(folder / CONFIG)
        self._weights.write(folder, on_tensor)
        told = {
            "adapter": str(self._adapter.ref),
            "adapter_digest": self._adapter.digest,
            "base_fingerprint": self._base.fingerprint,
            "fingerprint": BaseModel(folder).fingerprint,
            "method": self._weights.method,
            "rank": self._adapter.rank,
            "modules": len(self._weights.modules),
            "tokenizer": "adapter" if self._brings_tokenizer else "base",
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        (folder / MARK).write_text(yaml.safe_dump(told, sort_keys=False))
        return told

    @property
    def _brings_tokenizer(self) -> bool:
        return self._weights.vocabulary.resized and (self._adapter.path / TOKENIZER[0]).is_file()

    def _amend_config(self, path: Path) -> None:
        """The vocabulary's size, and that the output head is not the embedding any more."""
        vocabulary = self._weights.vocabulary
        changes: dict[str, Any] = {"vocab_size": vocabulary.rows} if vocabulary.resized else {}
        if vocabulary.untied:
            changes["tie_word_embeddings"] = False
        if not changes:
            return
        content = json.loads(path.read_text(encoding="utf-8"))
        content |= changes
        if isinstance(content.get("text_config"), dict):
            content["text_config"] |= changes
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _companions(self) -> Iterator[Path]:
        base = self._base.folder
        kept = {path.name for path in self._base.weight_files}
        for path in sorted(base.iterdir()):
            ours = path.suffix in SUFFIXES and (path.name in kept or not path.name.endswith(".index.json"))
            if self._brings_tokenizer and path.name in TOKENIZER:
                continue
            if path.is_file() and not path.name.startswith(".") and (ours or path.name.startswith(LICENCES)):
                yield path
        yield from sorted((base / TEMPLATES).glob("*.jinja"))
