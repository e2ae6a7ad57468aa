"""The order in which a training takes what it learns from: endless, decided by the seed alone, from any position on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

POOL = 256


@dataclass(frozen=True, slots=True)
class Position:
    """The next group: so many pools from the start of the training, and so many groups into that one."""

    pool: int = 0
    batch: int = 0


class Order:
    """Each epoch takes every item as often as its weight says, shuffled anew; `POOL` at a time are grouped by length.

    It is a function of lengths, weights and the seed, so that a position is all that has to be remembered.
    """

    def __init__(self, lengths: Sequence[int], *, tokens: int, seed: int, weights: Sequence[int] = ()) -> None:
        """`lengths` and `tokens`: of an item, and of a group at most, where each counts as much as the longest.

        `weights`: how often an epoch has each item, once without them. ValueError without an item.
        """
        if not lengths:
            raise ValueError("a training needs at least one chat")
        self._lengths = lengths
        self._tokens = tokens
        self._seed = seed
        repeated = weights or [1] * len(lengths)
        self._epoch = [index for index, weight in enumerate(repeated) for _ in range(weight)]
        self._pools = -(-len(self._epoch) // POOL)  # of one epoch
        self.seek(Position())

    def seek(self, position: Position) -> None:
        """Go on at this position."""
        self.position = position
        self._groups = self._pool(position.pool)

    def next(self) -> list[int]:
        """The items at the position, by their index; the position moves on by one group."""
        at = self.position
        group = self._groups[at.batch]
        if at.batch + 1 < len(self._groups):
            self.position = Position(at.pool, at.batch + 1)
        else:
            self.seek(Position(at.pool + 1))
        return group

    def _pool(self, number: int) -> list[list[int]]:
        epoch, part = divmod(number, self._pools)
        order = list(self._epoch)
        random.Random(f"{self._seed}/epoch/{epoch}").shuffle(order)
        groups = self._grouped(order[part * POOL : (part + 1) * POOL])
        random.Random(f"{self._seed}/pool/{number}").shuffle(groups)
        return groups

    def _grouped(self, indexes: Sequence[int]) -> list[list[int]]:
        """By length, each group within the tokens; a longer item is a group of its own."""
        groups: list[list[int]] = []
        for index in sorted(indexes, key=self._lengths.__getitem__):
            if groups and self._lengths[index] * (len(groups[-1]) + 1) <= self._tokens:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups
