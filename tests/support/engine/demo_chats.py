"""Fresh conversations from the generators of the demo's model, with names that no training saw."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "models" / "demo"
TICKETS = 0.2  # the share of support tickets; the others are questions with 0 to 3 passages

Messages = list[dict[str, Any]]


@contextmanager
def _scripts() -> Iterator[None]:
    """models/demo is a folder of scripts and no package: it is on the path for as long as they are imported, and no
    longer, since `evaluate` or `tokenizer` are what other packages are called too."""
    sys.path.insert(0, str(DEMO))
    try:
        yield
    finally:
        sys.path.remove(str(DEMO))


def questions(seed: int, count: int) -> list[Messages]:
    """Conversations that end with what is to be answered: with and without a system text and worked examples."""
    with _scripts():
        from mixture import Shape, conversation, without_passages
        from tickets import chat

    rng = random.Random(seed)
    found: list[Messages] = []
    for number in range(count):
        if rng.random() < TICKETS:
            found.append([dict(message) for message in chat(rng, "held-out")][:-1])
            continue
        passages = number % 4
        if passages:
            shape = Shape(passages, rng.randint(1, 3), filler=rng.choice((0.0, 0.3, 0.6)))
            turns = conversation(rng, "held-out", shape, rng.randint(1, 3), 0.5)
        else:
            turns = without_passages(rng, "held-out")
        found.append([{"role": turn.role, "content": turn.content} for turn in turns[:-1]])
    return found
