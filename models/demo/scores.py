"""Exact-match scores on held-out names.

The greedy answer is right exactly if, given the right answer so far, every next token of it is the likeliest one. So
one forward pass scores a whole set, and no decoding is needed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from batches import Encoded, encode, grouped, pad
from mixture import Example, Shape, conversation, without_passages
from network import Network
from prefixes import Style
from tokenizer import PAD
from trivet.evaluation.statistics import wilson
from wording import Wording

Maker = Callable[[random.Random], Example]
PREFIXED = 0.7  # the share of the examples that have a prefix, of a few to some 230 tokens; the others have none


def _conversation(
    passages: Sequence[int], facts: Sequence[int], hard: float = 1.0, unknown: float = 0.0,
    wording: Wording = "held-out", filler: float = 0.2, wanted: Style | None = None,
) -> Maker:  # fmt: skip
    """One question; `passages` and `facts` (of each passage) are drawn from what is given."""

    def make(rng: random.Random) -> Example:
        shape = Shape(rng.choice(passages), rng.choice(facts), hard, filler, unknown, wording)
        return conversation(rng, "held-out", shape, 1, PREFIXED if wanted is None else 1.0, wanted)

    return make


# Names, forms of question, forms and headings of passages, and instructions are ones that training never showed.
SETS: dict[str, Maker] = {
    "1 passage": _conversation((1,), (1,)),
    "2 passages, same attribute": _conversation((2,), (1,)),
    "3 passages of 1 or 2 facts, 2 of them hard": _conversation((3,), (1, 2)),
    "nothing answers": _conversation((1, 2, 3), (1,), unknown=1.0),
    "no passage": lambda rng: without_passages(rng, "held-out", "held-out"),
    "1 passage, asked to be terse": _conversation((1,), (1,), wanted="terse"),
    "1 passage, asked for a sentence": _conversation((1,), (1,), wanted="sentence"),
    "1 passage of 3 facts": _conversation((1,), (3,)),
    "3 passages of 1 to 3 facts, full mix": _conversation((3,), (1, 2, 3), 0.6, 0.12, filler=0.35),
    # The same with the training's forms, and names it has not seen: what new wordings cost.
    "seen forms: 1 passage": _conversation((1,), (1,), wording="train"),
    "seen forms: 2 passages, same attribute": _conversation((2,), (1,), wording="train"),
    "seen forms: 3 passages of 1 or 2 facts": _conversation((3,), (1, 2), wording="train"),
    "seen forms: nothing answers": _conversation((1, 2, 3), (1,), unknown=1.0, wording="train"),
    "seen forms: 3 passages of 1 to 3 facts, full mix": _conversation((3,), (1, 2, 3), 0.6, 0.12, "train", 0.35),
}
QUICK = (
    "1 passage", "2 passages, same attribute", "3 passages of 1 or 2 facts, 2 of them hard", "nothing answers",
    "seen forms: 2 passages, same attribute", "seen forms: 3 passages of 1 to 3 facts, full mix",
)  # fmt: skip


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
        found = wilson(self.right, self.n)
        return found.low, found.high


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
