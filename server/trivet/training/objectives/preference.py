"""DPO (Rafailov et al., Direct Preference Optimization, arXiv 2305.18290): of two answers the better one, likelier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from trivet.training.batch import pad
from trivet.training.chats import Example
from trivet.training.objectives.answer_logits import answer_logits
from trivet.training.objectives.objective import Part
from trivet.training.order import Order
from trivet.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to the same conversation."""

    chosen: Example
    rejected: Example


class Preference:
    """-log sigmoid(beta * margin), the mean over the pairs of a step.

    The margin is how much likelier the chosen answer became against the rejected one since the start of the training,
    in nats. The reference is the model as it is when this is made; it is asked once for each pair and then forgotten,
    so that one model is in memory.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        recipe: Recipe,
        model: Any,
        *,
        padding: int,
        weights: Sequence[int] = (),
        on_pairs: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`on_pairs` hears of how many pairs the reference was just asked. ValueError without a pair."""
        lengths = [2 * max(len(pair.chosen.ids), len(pair.rejected.ids)) for pair in pairs]
        self.order = Order(lengths, tokens=recipe.batch_tokens, seed=recipe.seed, weights=weights)
        self._pairs = pairs
        self._padding = padding
        self._beta = recipe.beta
        self._batches = recipe.accumulation
        self._reference = advantages(model, pairs, padding, recipe.batch_tokens, on_pairs)
        self._preferred = 0.0

    def parts(self, model: Any) -> Iterator[Part]:
        """A part for each batch of pairs."""
        groups = [self.order.next() for _ in range(self._batches)]
        count, preferred = sum(map(len, groups)), 0
        for group in groups:
            found, tokens = _advantages(model, [self._pairs[index] for index in group], self._padding)
            margins = found - self._reference[group].to(found.device)
            preferred += int((margins > 0).sum())
            yield Part(-functional.logsigmoid(self._beta * margins).sum() / count, tokens)
        self._preferred = preferred / count

    def figures(self) -> Mapping[str, float]:
        """`preferred`: the share of the step's pairs whose chosen answer became likelier against the other."""
        return {"preferred": self._preferred}


@torch.no_grad()  # type: ignore[untyped-decorator]
def advantages(
    model: Any, pairs: Sequence[Pair], padding: int, tokens: int, on_pairs: Callable[[int], None] = lambda _: None
) -> Any:
    """(pairs,): how much likelier the model finds each chosen answer than the rejected one, in nats."""
    model.eval()
    found = torch.zeros(len(pairs))
    order = sorted(range(len(pairs)), key=lambda index: len(pairs[index].chosen.ids))
    start = 0
    while start < len(order):
        longest, end = 0, start
        while end < len(order):
            pair = pairs[order[end]]
            longest = max(longest, len(pair.chosen.ids), len(pair.rejected.ids))
            if end > start and 2 * longest * (end - start + 1) > tokens:
                break
            end += 1
        group = order[start:end]
        found[group] = _advantages(model, [pairs[index] for index in group], padding)[0].float().cpu()
        on_pairs(len(group))
        start = end
    return found


def _advantages(model: Any, pairs: Sequence[Pair], padding: int) -> tuple[Any, int]:
    batch = pad([*(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)], padding)
    likely = answer_logits(model, batch).by_example(2 * len(pairs))
    return likely[: len(pairs)] - likely[len(pairs) :], int(batch.mask.sum())
