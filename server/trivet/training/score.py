"""How often a model's greedy answer to held-out chats is exactly the one that stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from trivet.evaluation.statistics import wilson
from trivet.training.chats import Chat, render

SPARE = 8  # tokens beyond the expected answer's: more of them can only be wrong


@dataclass(frozen=True, slots=True)
class Score:
    """`right` of `n` chats."""

    right: int
    n: int

    def as_data(self) -> dict[str, Any]:
        """With Wilson's 95% interval of the share."""
        interval = wilson(self.right, self.n)
        share = {"share": self.right / self.n, "low": interval.low, "high": interval.high}
        return {"right": self.right, **{name: round(value, 4) for name, value in share.items()}}


def score(model: Any, tokenizer: Any, chats: Iterable[Chat], on_answer: Callable[[bool], None]) -> Score:
    """Answer each chat's last turn. White space around an answer does not count; chats go one by one, unpadded."""
    model.eval()
    right = n = 0
    for chat in chats:
        hit = answer(model, tokenizer, chat).strip() == chat[-1]["content"].strip()
        right, n = right + hit, n + 1
        on_answer(hit)
    return Score(right, n)


@torch.no_grad()  # type: ignore[untyped-decorator]
def answer(model: Any, tokenizer: Any, chat: Chat) -> str:
    """What the model says in place of the last message: always the likeliest token, with a KV cache."""
    asked = render(tokenizer, chat[:-1], prompt=True)
    limit = len(render(tokenizer, chat, prompt=False)) - len(asked) + SPARE
    limit = min(limit, model.config.max_position_embeddings - len(asked))
    ends = _ends(model, tokenizer)
    made: list[int] = []
    given, past = torch.tensor([asked]), None
    while len(made) < limit:
        output = model(input_ids=given, past_key_values=past, use_cache=True)
        token = int(output.logits[0, -1].argmax())
        if token in ends:
            break
        made.append(token)
        given, past = torch.tensor([[token]]), output.past_key_values
    text: str = tokenizer.decode(made, skip_special_tokens=True)
    return text


def _ends(model: Any, tokenizer: Any) -> set[int]:
    told = model.generation_config.eos_token_id
    listed = told if isinstance(told, list) else [told]
    return {token for token in (*listed, tokenizer.eos_token_id) if token is not None}
