"""An exported embedding model: its tokenizer and its ONNX graph, one thread, one text at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from trivet.retrieval.embedding.tokens import ModelTokens
from trivet.retrieval.model_export.files import DESCRIPTION, GRAPH, TOKENIZER
from trivet.retrieval.model_export.onnx_session import one_thread_session

INPUT = "input_ids"

Vector = NDArray[np.float32]


class OnnxModel:
    """Blocking; may be used from several threads at once. `window`: tokens of an input, special ones included."""

    def __init__(self, graph: Path, tokenizer: Path, window: int) -> None:
        self._session = one_thread_session(graph)
        self._tokens = ModelTokens(tokenizer)
        self._truncating = Tokenizer.from_file(str(tokenizer))
        self._truncating.no_padding()
        self._truncating.enable_truncation(window)
        self.room = window - self._tokens.special

    @classmethod
    def open(cls, export: Path) -> OnnxModel:
        """The model in a folder that `trivet.retrieval.embedding.export` has written."""
        description = json.loads((export / DESCRIPTION).read_text())
        return cls(export / GRAPH, export / TOKENIZER, description["window"])

    def embed(self, text: str) -> Vector:
        """The normalised vector (dimension,) of `text`; what does not fit the window is cut off, as the model does."""
        ids = np.array([self._truncating.encode(text).ids], dtype=np.int64)
        vector: Vector = self._session.run(None, {INPUT: ids})[0][0]
        return vector

    def tokens(self, text: str) -> Sequence[Any]:
        """The tokens of `text`, special ones not included."""
        return self._tokens.tokens(text)

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Where each token begins and ends in `text`, in characters."""
        return self._tokens.offsets(text)
