"""What every objective offers a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from trivet.training.order import Order


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a step: its share of the loss, with a graph behind it, and how many tokens were read or written."""

    loss: Any
    tokens: int


class Objective(Protocol):
    """What a step makes better. `order`: from where the next step takes its examples."""

    order: Order

    def parts(self, model: Any) -> Iterator[Part]:
        """One step's parts, whose gradients are to be added up; each is to be taken backwards before the next."""
        ...

    def figures(self) -> Mapping[str, float]:
        """What was seen in the last step beside the loss, by name; smaller numbers mean nothing by themselves."""
        ...
