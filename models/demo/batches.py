"""Endless batches of the mix: made on the fly, a pure function of (seed, process, position), so a run can resume."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from mixture import Example, Mix, example
from tokenizer import ASSISTANT, END, PAD, render
from wording import Wording

POOL = 512  # examples that are sorted by length together
OTHER_WEIGHT = 0.1  # the loss of tokens that are not part of an answer


@dataclass(frozen=True)
class Encoded:
    ids: list[int]
    weights: list[float]


@dataclass
class Position:
    """Where a process stands in its stream."""

    pool: int = 0
    batch: int = 0


def encode(tokenizer: Tokenizer, examples: list[Example]) -> list[Encoded]:
    """Token ids with the weight of each in the loss: 1 from after the assistant's mark to the end of the turn."""
    assistant, end = tokenizer.token_to_id(ASSISTANT), tokenizer.token_to_id(END)
    encoded = []
    for found in tokenizer.encode_batch([render(one) for one in examples]):
        weights: list[float] = []
        answering = -1
        for token in found.ids:
            weights.append(1.0 if answering > 1 else OTHER_WEIGHT)
            if token == assistant:
                answering = 1  # the line break after the mark is not part of the answer
            elif answering > 0:
                answering = 0 if token == end else answering + 1
        encoded.append(Encoded(found.ids, weights))
    return encoded


def pad(rows: list[Encoded], padding: int) -> tuple[Tensor, Tensor]:
    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), padding, dtype=np.int64)
    weights = np.zeros((len(rows), longest), dtype=np.float32)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
        weights[index, : len(row.weights)] = row.weights
    return torch.from_numpy(ids), torch.from_numpy(weights)


def grouped(rows: list[Encoded], tokens: int) -> list[list[Encoded]]:
    """Rows of like length together, each group of at most `tokens` with its padding."""
    groups: list[list[Encoded]] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if groups and len(row.ids) * (len(groups[-1]) + 1) <= tokens:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


class Batches:
    """The stream of one process."""

    def __init__(
        self, tokenizer: Tokenizer, seed: int, process: int, tokens: int, position: Position, mix: Mix, wording: Wording
    ) -> None:
        self.tokenizer = tokenizer
        self.seed = seed
        self.process = process
        self.tokens = tokens
        self.position = position
        self.mix = mix
        self.wording = wording
        self._groups: list[list[Encoded]] = []
        self._padding: int = tokenizer.token_to_id(PAD) or 0

    def next(self) -> tuple[Tensor, Tensor]:
        """The next batch."""
        if not self._groups:  # at the start, or continued within a pool
            self._groups = self._pool()
        if self.position.batch >= len(self._groups):
            self.position = Position(self.position.pool + 1)
            self._groups = self._pool()
        rows = self._groups[self.position.batch]
        self.position.batch += 1
        return pad(rows, self._padding)

    def _pool(self) -> list[list[Encoded]]:
        rng = random.Random(f"{self.seed}/{self.process}/{self.position.pool}")
        made = [example(rng, self.mix, "train", self.wording) for _ in range(POOL)]
        rows = encode(self.tokenizer, made)
        groups = grouped(rows, self.tokens)
        rng.shuffle(groups)
        return groups
