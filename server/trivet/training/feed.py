"""The batches of a training: endless, in an order that the seed alone decides, and from any position on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from trivet.training.batch import Batch, pad
from trivet.training.chats import Example, grouped

POOL = 256


@dataclass(frozen=True, slots=True)
class Position:
    """The next batch: so many pools from the start of the training, and so many batches into that one."""

    pool: int = 0
    batch: int = 0


class Feed:
    """Each epoch takes every example once, shuffled anew; `POOL` at a time are put into batches by length.

    The order is a function of the examples and the seed, so that a position is all that has to be remembered.
    """

    def __init__(self, examples: Sequence[Example], *, tokens: int, padding: int, seed: int) -> None:
        """`tokens`: of a batch at most, its padding included. ValueError without an example."""
        if not examples:
            raise ValueError("a training needs at least one chat")
        self._examples = examples
        self._tokens = tokens
        self._padding = padding
        self._seed = seed
        self._pools = -(-len(examples) // POOL)  # of one epoch
        self.seek(Position())

    def seek(self, position: Position) -> None:
        """Go on at this position."""
        self.position = position
        self._groups = self._pool(position.pool)

    def next(self) -> Batch:
        """The batch at the position, which moves on by one."""
        at = self.position
        batch = pad(self._groups[at.batch], self._padding)
        if at.batch + 1 < len(self._groups):
            self.position = Position(at.pool, at.batch + 1)
        else:
            self.seek(Position(at.pool + 1))
        return batch

    def _pool(self, number: int) -> list[list[Example]]:
        epoch, part = divmod(number, self._pools)
        order = list(range(len(self._examples)))
        random.Random(f"{self._seed}/epoch/{epoch}").shuffle(order)
        chosen = order[part * POOL : (part + 1) * POOL]
        groups = grouped([self._examples[index] for index in chosen], self._tokens)
        random.Random(f"{self._seed}/pool/{number}").shuffle(groups)
        return groups
