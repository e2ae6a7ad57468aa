"""Settings of the retrieval leg."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

_CHUNKING = 1  # grows when the same settings would give other passages than before


class Precision(Enum):
    """Arithmetic of the embedding model. int8 takes about a third of the time and changes the ranking a little."""

    FLOAT32 = "float32"
    INT8 = "int8"


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """Which model turns text into vectors. `model`: folder of a sentence-transformers model, None for the default."""

    model: Path | None = None
    precision: Precision = Precision.INT8


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How one index is made and searched.

    `chunk_tokens`: a passage's text has at most so many tokens of the embedding model. `pack`: neighbouring paragraphs
    of a section share a passage while they fit; otherwise each paragraph is one of its own. `language`: for stop words
    and stemming of the term search, lower case, such as "english". `candidates`: how many passages each of the two
    searches hands to the fusion. `rrf_k`: constant of the reciprocal rank fusion (smaller: the first ranks count more).
    """

    name: str
    corpus: Path
    chunk_tokens: int = 180
    pack: bool = True
    language: str = "english"
    embedding: EmbeddingSettings = EmbeddingSettings()
    candidates: int = 50
    rrf_k: int = 2
    max_document_bytes: int = 4 * 2**20

    def snapshot(self, model_digest: str) -> str:
        """Eight hex digits that name this way of chunking and embedding; what only matters to a search is not in it."""
        way = {
            "chunking": _CHUNKING,
            "chunk_tokens": self.chunk_tokens,
            "pack": self.pack,
            "language": self.language,
            "model": model_digest,
            "precision": self.embedding.precision.value,
        }
        return hashlib.sha256(json.dumps(way, sort_keys=True).encode()).hexdigest()[:8]
