"""Examples as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trivet.training.chats import Example


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded on the right. `labels` is -100 where nothing is to be learned."""

    ids: Any
    mask: Any
    labels: Any


def pad(examples: Sequence[Example], token: int) -> Batch:
    """One batch, `token` after the shorter ones."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), token)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    labels = torch.full((len(examples), longest), -100)
    for row, example in enumerate(examples):
        length = len(example.ids)
        found = torch.tensor(example.ids)
        ids[row, :length] = found
        mask[row, :length] = 1
        labels[row, :length] = torch.where(torch.tensor(example.learned), found, torch.tensor(-100))
    return Batch(ids, mask, labels)
