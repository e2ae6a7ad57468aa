"""Which rows are held out: by their units, so that nobody's questions are on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from trivet.datasets.row import Row


@dataclass(frozen=True, slots=True)
class Split:
    """Rows for training, and those that nothing is trained on."""

    training: tuple[Row, ...]
    held_out: tuple[Row, ...]


def split(rows: Iterable[Row], share: float) -> Split:
    """Hold out about this share of the units. The same unit is on the same side in each export.

    `rows`: as `select` gives them for this share, each conversation once.
    """
    held_out: list[Row] = []
    training: list[Row] = []
    for row in rows:
        (held_out if is_held_out(row.unit, share) else training).append(row)
    return Split(tuple(training), tuple(held_out))


def is_held_out(unit: str, share: float) -> bool:
    """Whether the unit is held out of every export that holds out this share, or more."""
    return _place(unit) < share


def _place(unit: str) -> float:
    """A number in [0, 1) that is the unit's for ever."""
    return int.from_bytes(hashlib.sha256(b"held out\0" + unit.encode()).digest()[:7]) / (1 << 56)
