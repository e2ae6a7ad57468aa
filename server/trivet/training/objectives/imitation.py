"""Supervised training: the cross-entropy of the assistant's tokens, and of no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.nn import functional

from trivet.training.batch import Batch, pad
from trivet.training.chats import Example
from trivet.training.objectives.answer_logits import answer_logits
from trivet.training.objectives.objective import Part
from trivet.training.order import Order
from trivet.training.recipe import Recipe


class Imitation:
    """The mean over the learned tokens of a step, however many batches it has."""

    def __init__(
        self, examples: Sequence[Example], recipe: Recipe, *, padding: int, weights: Sequence[int] = ()
    ) -> None:
        """ValueError without an example."""
        lengths = [len(example.ids) for example in examples]
        self.order = Order(lengths, tokens=recipe.batch_tokens, seed=recipe.seed, weights=weights)
        self._examples = examples
        self._padding = padding
        self._batches = recipe.accumulation

    def batch(self) -> Batch:
        """The next one."""
        return pad([self._examples[index] for index in self.order.next()], self._padding)

    def parts(self, model: Any) -> Iterator[Part]:
        """A part for each batch."""
        batches = [self.batch() for _ in range(self._batches)]
        learned = sum(int((batch.labels[:, 1:] != -100).sum()) for batch in batches)
        for batch in batches:
            found = answer_logits(model, batch)
            total = functional.cross_entropy(found.logits.float(), found.labels, reduction="sum")
            yield Part(total / learned, int(batch.mask.sum()))

    def figures(self) -> Mapping[str, float]:
        """Nothing beside the loss."""
        return {}
