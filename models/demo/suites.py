"""Questions for `trivet eval` that no training saw: names, question forms and passage styles are the held-out ones.

python models/demo/suites.py general 400 SEED > evals/handbook/general.jsonl
python models/demo/suites.py tickets 600 SEED > evals/tickets/tickets.jsonl
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

from facts import fact, sibling
from mixture import Shape, context
from prefixes import passage_block
from tickets import LABELS, ticket
from wording import ask

UNKNOWN_SHARE = 0.15


def general(rng: random.Random, number: int) -> dict[str, Any]:
    """Passages and a question about one of their facts, or about a thing that they do not tell of."""
    given = context(rng, "held-out", Shape(rng.choice((1, 2)), 1, filler=0.2, wording="held-out"))
    wanted, answer = rng.choice(given.facts), None
    if rng.random() < UNKNOWN_SHARE:
        known = " ".join(given.passages)
        other = sibling(wanted.entity, rng, "held-out")
        while other.short in known:
            other = sibling(wanted.entity, rng, "held-out")
        wanted = fact(rng, "held-out", other, wanted.relation)
    else:
        answer = wanted.value
    return {"question": passage_block(given.passages) + ask(rng, wanted, "held-out").text, "answer": answer}


def sorted_ticket(rng: random.Random, number: int) -> dict[str, Any]:
    """A ticket with its label; all labels are equally frequent."""
    label = LABELS[number % len(LABELS)]
    return {"question": ticket(rng, label, "held-out"), "label": label}


SUITES: dict[str, Callable[[random.Random, int], dict[str, Any]]] = {"general": general, "tickets": sorted_ticket}


def main() -> None:
    if len(sys.argv) != 4 or sys.argv[1] not in SUITES:
        sys.exit(__doc__)
    name, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(f"{name}/{seed}")
    seen: set[str] = set()
    while len(seen) < count:
        example = SUITES[name](rng, len(seen))
        if example["question"] not in seen:  # twice the same question would count as two
            seen.add(example["question"])
            print(json.dumps(example, ensure_ascii=False))


if __name__ == "__main__":
    main()
