"""Answers as strict JSON: the data of the adapter `json-answer`.

The conversations are the base's own mix, with every answer put into JSON; so the adapter learns a form and keeps the
reading. Examples inside the prompt keep their plain form half of the time: the adapter must not need JSON shown to it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from mixture import Shape, conversation, copying, example, without_passages
from names import Split
from prefixes import Turn
from wording import UNKNOWN

from trivet.training import Chat


def as_json(answer: str) -> str:
    """The answer in the adapter's form."""
    found = answer != UNKNOWN
    return json.dumps({"answer": answer if found else "", "found": found}, ensure_ascii=False)


def convert(turns: list[Turn], plain_shots: bool) -> Chat:
    """JSON in the answers; `plain_shots` leaves those of all but the last stretch of turns about one context."""
    last_context = max((i for i, turn in enumerate(turns) if turn.content.startswith("Passages:")), default=0)
    chat: Chat = []
    for index, turn in enumerate(turns):
        plain = plain_shots and index < last_context
        answered = turn.role == "assistant" and not plain
        chat.append({"role": turn.role, "content": as_json(turn.content) if answered else turn.content})
    return chat


def chat(rng: random.Random, split: Split) -> Chat:
    roll = rng.random()
    if roll < 0.25:
        shape = Shape(rng.choice((1, 2, 3)), rng.randint(1, 3), unknown=0.45)
        turns = conversation(rng, split, shape, rng.randint(1, 3))
    elif roll < 0.32:
        turns = without_passages(rng, split)
    else:
        turns = example(rng, 1.0, split)
    return convert(turns, rng.random() < 0.5)


def chats(seed: int) -> Iterator[Chat]:
    """Endless training chats; copying stays plain, so that no character is forgotten."""
    rng = random.Random(f"json/{seed}")
    while True:
        if rng.random() < 0.03:
            yield [{"role": turn.role, "content": turn.content} for turn in copying(rng, "train")]
        else:
            yield chat(rng, "train")
