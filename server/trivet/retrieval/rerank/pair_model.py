"""An exported cross-encoder: its tokenizer and its ONNX graph, one thread, one pair at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from trivet.retrieval.model_export.files import DESCRIPTION, GRAPH, TOKENIZER
from trivet.retrieval.model_export.onnx_session import one_thread_session

IDS = "input_ids"
SEGMENTS = "token_type_ids"


class PairModel:
    """Blocking; may be used from several threads at once."""

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self._session = one_thread_session(folder / GRAPH)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(description["window"], strategy="longest_first")
        self._segments: bool = description["segments"]

    @classmethod
    def open(cls, export: Path) -> PairModel:
        """The model in a folder that `trivet.retrieval.rerank.export` has written."""
        return cls(export, json.loads((export / DESCRIPTION).read_text()))

    def score(self, question: str, passage: str) -> float:
        """How well the passage answers the question, on the model's own scale; what does not fit is cut off."""
        return self.score_and_count(question, passage)[0]

    def score_and_count(self, question: str, passage: str) -> tuple[float, int]:
        """The same, and how many tokens of both it has read, special ones included."""
        encoding = self._tokenizer.encode(question, passage)
        inputs = {IDS: np.array([encoding.ids], dtype=np.int64)}
        if self._segments:
            inputs[SEGMENTS] = np.array([encoding.type_ids], dtype=np.int64)
        return float(self._session.run(None, inputs)[0][0]), len(encoding.ids)
