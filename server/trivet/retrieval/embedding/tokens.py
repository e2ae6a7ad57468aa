"""The tokens of an exported embedding model, without the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from trivet.retrieval.model_export.files import TOKENIZER


class ModelTokens:
    """Counts as the model does, special tokens not included. Blocking; may be used from several threads at once."""

    def __init__(self, tokenizer: Path) -> None:
        """`tokenizer`: the file."""
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.special = int(self._tokenizer.num_special_tokens_to_add(False))

    @classmethod
    def open(cls, export: Path) -> ModelTokens:
        """Those of the model in a folder that `trivet.retrieval.embedding.export` has written."""
        return cls(export / TOKENIZER)

    def tokens(self, text: str) -> Sequence[Any]:
        """The tokens of `text`."""
        tokens: Sequence[Any] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tokens

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Where each token begins and ends in `text`, in characters."""
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets
