"""Exact-match scores on held-out names.

The greedy answer is right exactly if, given the right answer so far, every next token of it is the likeliest one. So
one forward pass scores a whole set, and no decoding is needed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from batches import Encoded, encode, grouped, pad
from mixture import Example, Shape, conversation, without_passages
from network import Network
from tokenizer import PAD
from tokenizers import Tokenizer

Maker = Callable[[random.Random], Example]


def _of(shape: Shape, share: float = 0.0) -> Maker:
    return lambda rng: conversation(rng, "held-out", shape, 1, share)


def _known(passages: int, facts: int, hard: float, share: float = 0.0, filler: float = 0.0) -> Maker:
    return _of(Shape(passages, facts, hard, filler, unknown=0.0), share)


def _mixed(wording: str) -> Maker:
    def make(rng: random.Random) -> Example:
        held_out = wording == "held-out"
        shape = Shape(3, rng.randint(1, 3), 0.6, 0.35, 0.12, "held-out" if held_out else "train")
        return conversation(rng, "held-out", shape, 1, 0.7)

    return make


SETS: dict[str, Maker] = {
    "1 passage of 1 fact": _known(1, 1, 0.0),
    "1 passage of 1 fact, with a prefix": _known(1, 1, 0.0, share=1.0),
    "1 passage of 3 facts": _known(1, 3, 0.0),
    "1 passage of 3 facts, with filler": _known(1, 3, 0.0, filler=0.5),
    "2 passages about the same attribute": _known(2, 1, 1.0),
    "3 passages of 1 fact, hard": _known(3, 1, 1.0),
    "3 passages of 2 facts": _known(3, 2, 0.6),
    "3 passages, full mix": _mixed("train"),
    "3 passages, full mix, unseen wordings": _mixed("held-out"),
    "nothing answers": _of(Shape(2, 1, unknown=1.0)),
    "no passage": lambda rng: without_passages(rng, "held-out"),
}
QUICK = ("1 passage of 1 fact", "2 passages about the same attribute", "3 passages, full mix", "nothing answers")


@dataclass(frozen=True)
class Score:
    right: int
    n: int

    @property
    def share(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval."""
        z, p, n = 1.96, self.share, self.n
        middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


@torch.no_grad()  # type: ignore[untyped-decorator]
def last_answer_right(network: Network, tokenizer: Tokenizer, rows: list[Encoded]) -> list[bool]:
    """For each row, in its order, whether greedy decoding gives its last answer."""
    padding = tokenizer.token_to_id(PAD) or 0
    order = {id(row): index for index, row in enumerate(rows)}
    right = [False] * len(rows)
    for group in grouped(rows, 4096):
        ids, weights = pad(group, padding)
        hits = network(ids[:, :-1]).argmax(-1) == ids[:, 1:]
        for row, hit, weight in zip(group, hits, weights[:, 1:], strict=True):
            answer = (weight == 1.0).nonzero().flatten()
            start = int(answer[-1])
            while weight[start - 1] == 1.0:
                start -= 1
            right[order[id(row)]] = bool(hit[start : int(answer[-1]) + 1].all())
    return right


def score(network: Network, tokenizer: Tokenizer, examples: list[Example]) -> Score:
    right = last_answer_right(network, tokenizer, encode(tokenizer, examples))
    return Score(sum(right), len(right))


def quick_scores(network: Network, tokenizer: Tokenizer, n: int = 100) -> dict[str, float]:
    """A glance during training, always on the same few examples."""
    scores = {}
    for name in QUICK:
        rng = random.Random(f"glance/{name}")
        scores[name] = score(network, tokenizer, [SETS[name](rng) for _ in range(n)]).share
    return scores
