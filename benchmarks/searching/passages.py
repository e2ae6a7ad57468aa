"""Many passages: real text, repeated with variation, and synthetic vectors.

The text is the Python manual's where it can be fetched (`python_docs`), cut every 60 words or 450 characters; the n-th
round over it adds a sentence of its own to each passage. A passage's vector is drawn around one of 256 centres, both
following from its text, so that nothing has to be embedded; queries are embedded by the real model.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.searching.python_docs import Unavailable, fetch, read
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.embedding.onnx_model import Vector
from trivet.types.passage import Document, DocumentFormat

PER_DOCUMENT = 20
_CENTRES = 256
_SPREAD = 0.6  # of a passage around its centre, as a share of the centre's length
_WORDS = 25, 60  # fewer words are no passage, more are cut
_CHARACTERS = 450  # so that a passage stays one: it has fewer tokens than an index cuts at


class SyntheticEmbedder(OnnxEmbedder):
    """Embeds queries as ever, and passages by drawing."""

    async def embed_passages(self, texts: Sequence[str], tenant: str = "") -> list[Vector]:
        """One vector (dimension,) per text, always the same."""
        return [drawn(text, self.dimension) for text in texts]


def drawn(text: str, dimension: int) -> Vector:
    """A unit vector that follows from the text."""
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    noise = np.random.default_rng(seed).standard_normal(dimension)
    vector = _centres(dimension)[seed % _CENTRES] + _SPREAD * noise / np.linalg.norm(noise)
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


@lru_cache
def _centres(dimension: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    centres = np.random.default_rng(0).standard_normal((_CENTRES, dimension))
    made: np.ndarray[tuple[int, int], np.dtype[np.float64]] = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    return made


def texts(folder: Path) -> tuple[str, list[str]]:
    """Where the text is from, and its passages."""
    try:
        sections = read(fetch(folder))
    except Unavailable:
        return "made-up words", _made_up()
    found = []
    for section in sections:
        words = section.text.split()
        found += [" ".join(words[at : at + _WORDS[1]])[:_CHARACTERS] for at in range(0, len(words), _WORDS[1])]
    return "the Python manual", [text for text in found if len(text.split()) >= _WORDS[0]]


def _made_up() -> list[str]:
    draw = random.Random(0)
    vocabulary = ["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(3, 9))) for _ in range(20_000)]
    frequent = [1 / (rank + 10) for rank in range(len(vocabulary))]
    return [" ".join(draw.choices(vocabulary, frequent, k=draw.randint(*_WORDS))) for _ in range(8_000)]


def documents(base: Sequence[str], passages: int) -> Iterator[Document]:
    """So many passages, `PER_DOCUMENT` in each document, each a line of its own."""
    for start in range(0, passages, PER_DOCUMENT):
        numbers = range(start, min(start + PER_DOCUMENT, passages))
        lines = [json.dumps({"text": passage(base, n)}, ensure_ascii=False) for n in numbers]
        yield Document(f"d{start}", "\n".join(lines).encode(), DocumentFormat.JSON_LINES, title=f"Document {start}")


def passage(base: Sequence[str], n: int) -> str:
    """The n-th passage."""
    turn, at = divmod(n, len(base))
    return base[at] if turn == 0 else f"{base[at]} Edition {turn}, page {n}."


def queries(base: Sequence[str], number: int, seed: int) -> list[str]:
    """Different questions of three to nine words of some passage each."""
    draw = random.Random(seed)
    made = []
    for n in range(number):
        words = draw.choice(base).split()
        at = draw.randrange(max(1, len(words) - 9))
        made.append(f"{' '.join(words[at : at + draw.randint(3, 9)])} {n}")
    return made
