"""How often a model's greedy answer to held-out chats is exactly the one that stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trivet.evaluation.statistics import wilson
from trivet.training.chats import Chat, last_occurrence, render

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


def score(
    model: Any,
    tokenizer: Any,
    chats: Iterable[Chat],
    on_answer: Callable[[bool], None],
    invocation: Sequence[int] = (),
) -> Score:
    """Answer each chat's last turn. White space around an answer does not count; chats go one by one, unpadded.

    `invocation`: an activated LoRA's, which acts from there on.
    """
    model.eval()
    right = n = 0
    for chat in chats:
        hit = answer(model, tokenizer, chat, invocation).strip() == chat[-1]["content"].strip()
        right, n = right + hit, n + 1
        on_answer(hit)
    return Score(right, n)


@torch.no_grad()  # type: ignore[untyped-decorator]
def answer(model: Any, tokenizer: Any, chat: Chat, invocation: Sequence[int] = ()) -> str:
    """What the model says in place of the last message: always the likeliest token, with a KV cache."""
    asked = render(tokenizer, chat[:-1], prompt=True)
    limit = len(render(tokenizer, chat, prompt=False)) - len(asked) + SPARE
    limit = min(limit, model.config.max_position_embeddings - len(asked))
    stops = ends(model, tokenizer)
    made: list[int] = []
    given, past = torch.tensor([asked]), None
    # How many of the given tokens an activated LoRA acts on: PEFT, left alone, would look for the invocation in each.
    start = last_occurrence(asked, invocation) if invocation else None
    options = {} if start is None else {"alora_offsets": [len(asked) - start]}
    while len(made) < limit:
        output = model(input_ids=given, past_key_values=past, use_cache=True, **options)
        token = int(output.logits[0, -1].argmax())
        if token in stops:
            break
        made.append(token)
        given, past = torch.tensor([[token]]), output.past_key_values
        options = {} if start is None else {"alora_offsets": [1]}
    text: str = tokenizer.decode(made, skip_special_tokens=True)
    return text


def ends(model: Any, tokenizer: Any) -> set[int]:
    """The tokens that end an answer."""
    told = model.generation_config.eos_token_id
    listed = told if isinstance(told, list) else [told]
    return {token for token in (*listed, tokenizer.eos_token_id) if token is not None}
