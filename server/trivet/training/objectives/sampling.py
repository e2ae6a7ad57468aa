"""Answers drawn from a model: several to one prompt at once, whose keys and values are computed once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch


@torch.no_grad()  # type: ignore[untyped-decorator]
def draw(
    model: Any, prompt: Sequence[int], count: int, *, limit: int, temperature: float, ends: Collection[int]
) -> list[list[int]]:
    """`count` answers of at most `limit` tokens, each with the token that ended it; temperature 0 takes the likeliest.

    What is drawn depends on the global generator of torch alone.
    """
    model.eval()
    device = model.device
    output = model(input_ids=torch.tensor([list(prompt)], device=device), use_cache=True, logits_to_keep=1)
    past = output.past_key_values
    past.batch_repeat_interleave(count)
    logits = output.logits[:, -1].expand(count, -1)
    stops = torch.tensor(sorted(ends), device=device)
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    columns: list[Any] = []
    while True:
        tokens = _choose(logits, temperature)
        columns.append(torch.where(ended, -1, tokens))
        ended |= torch.isin(tokens, stops)
        if len(columns) == limit or bool(ended.all()):
            break
        output = model(input_ids=tokens.unsqueeze(1), past_key_values=past, use_cache=True)
        past, logits = output.past_key_values, output.logits[:, -1]
    return [[token for token in row if token >= 0] for row in torch.stack(columns, dim=1).tolist()]


def _choose(logits: Any, temperature: float) -> Any:
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial(torch.softmax(logits.float() / temperature, dim=-1), 1).squeeze(1)
