"""Logits where something is learned, and nowhere else.

An answer of ten tokens after a prompt of two thousand needs ten rows of a vocabulary's width; all two thousand would
take gigabytes. The model's own head is given the rows that count, so that whatever it does to logits afterwards
(scales, caps) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from trivet.training.batch import Batch


@dataclass(frozen=True, slots=True)
class AnswerLogits:
    """`logits`: (n, vocabulary). `labels`: (n,), what is to be said there. `rows`: (n,), of which example each is."""

    logits: Any
    labels: Any
    rows: Any

    def log_likelihoods(self, temperature: float = 1.0) -> Any:
        """(n,): of each label."""
        logs = torch.log_softmax(self.logits.float() / temperature, dim=-1)
        return logs.gather(-1, self.labels.unsqueeze(-1)).squeeze(-1)

    def by_example(self, examples: int) -> Any:
        """(examples,): the log-likelihood of each one's whole answer."""
        likely = self.log_likelihoods()
        return torch.zeros(examples, dtype=likely.dtype, device=likely.device).index_add(0, self.rows, likely)


def answer_logits(model: Any, batch: Batch) -> AnswerLogits:
    """Those of a batch, with gradients where they are wanted."""
    ids, mask, labels = (each.to(model.device) for each in (batch.ids, batch.mask, batch.labels))
    wanted = torch.zeros_like(labels, dtype=torch.bool)
    wanted[:, :-1] = labels[:, 1:] != -100
    with _only(model, wanted):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    count = int(wanted.sum())
    rows = logits.reshape(count, -1) if logits.shape[:2] == (1, count) else logits[wanted]
    return AnswerLogits(rows, labels[:, 1:][wanted[:, :-1]], wanted.nonzero()[:, 0])


@contextmanager
def _only(model: Any, wanted: Any) -> Iterator[None]:
    """The head sees these positions, as one row. A model that has its head in no module of its own computes all."""

    def pick(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *others = inputs
        return (hidden[wanted].unsqueeze(0), *others)

    handle = model.get_output_embeddings().register_forward_pre_hook(pick)
    try:
        yield
    finally:
        handle.remove()
