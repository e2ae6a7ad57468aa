"""Answers as strict JSON: the data of the adapter `json-answer`.

The conversations are the base's own mix, with every answer put into JSON; so the adapter learns a form and keeps the
reading. Examples inside the prompt keep their plain form now and then: the adapter must not need JSON shown to it. Its
own JSON is compact, as constrained decoding writes it, whatever the spacing of the JSON that a prompt shows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import cycle

from facts import fact
from mixture import Shape, conversation, copying, example, without_passages
from names import Split
from prefixes import Turn
from trivet.training import Chat
from wording import UNKNOWN, ask

INSTRUCTIONS: tuple[str, ...] = (
    "Answer in JSON.",
    "Answer with one JSON object and nothing else.",
    "Reply with a JSON object that has answer and found.",
    'Write JSON on one line: "answer" and "found".',
    '"answer" is only the value.',
    '"found" is false if the passages do not say.',
    '"found" tells whether the passages answer the question; if not, "answer" is empty.',
    'If nothing answers, give {"answer":"","found":false}.',
    'If nothing answers, give {"answer": "", "found": false}.',
)
COMPACT = (",", ":")
SPACED = (", ", ": ")


def as_json(answer: str, separators: tuple[str, str] = COMPACT) -> str:
    """The answer in the adapter's form."""
    found = answer != UNKNOWN
    return json.dumps({"answer": answer if found else "", "found": found}, ensure_ascii=False, separators=separators)


def convert(turns: list[Turn], plain_shots: bool) -> Chat:
    """JSON in the answers. `plain_shots`: those before the last context stay as they are, and are not learned."""
    last_context = max((i for i, turn in enumerate(turns) if turn.content.startswith("Passages:")), default=0)
    chat: Chat = []
    for index, turn in enumerate(turns):
        if turn.role != "assistant":
            chat.append({"role": turn.role, "content": turn.content})
        elif plain_shots and index < last_context:
            chat.append({"role": "assistant", "content": turn.content, "learned": False})
        else:
            chat.append({"role": "assistant", "content": as_json(turn.content)})
    return chat


def _shown(rng: random.Random, split: Split) -> str:
    """An example in a sentence, its JSON with or without spaces."""
    question = ask(rng, fact(rng, split))
    answered = as_json(question.fact.value, rng.choice((COMPACT, SPACED)))
    lead, between = rng.choice((("For example, ", "is answered with"), ("Example: ", "gives"), ("So ", "becomes")))
    return f'{lead}"{question.text}" {between} {answered}.'


def _told(rng: random.Random, turns: list[Turn], split: Split) -> list[Turn]:
    """Now and then the system text asks for JSON; the adapter must not need it, nor be confused by it."""
    if rng.random() > 0.35:
        return turns
    sentences = rng.sample(INSTRUCTIONS, rng.randint(1, 4))
    if rng.random() < 0.4:
        sentences.append(_shown(rng, split))
    asked = " ".join(sentences)
    if turns[0].role != "system":
        return [Turn("system", asked), *turns]
    parts = [turns[0].content, asked]
    rng.shuffle(parts)
    return [Turn("system", rng.choice((" ", "\n")).join(parts)), *turns[1:]]


def chat(rng: random.Random, split: Split) -> Chat:
    roll = rng.random()
    if roll < 0.25:
        shape = Shape(rng.choice((1, 2, 3)), rng.randint(1, 3), unknown=0.45)
        turns = conversation(rng, split, shape, rng.randint(1, 3))
    elif roll < 0.32:
        turns = without_passages(rng, split)
    else:
        turns = example(rng, split=split)
    return convert(_told(rng, turns, split), rng.random() < 0.3)


def chats(seed: int) -> Iterator[Chat]:
    """Endless training chats; copying stays plain, so that no character is forgotten."""
    rng = random.Random(f"json/{seed}")
    while True:
        if rng.random() < 0.03:
            yield [{"role": turn.role, "content": turn.content} for turn in copying(rng, "train")]
        else:
            yield chat(rng, "train")


# What is asked of held-out names: passages, facts in each, the share of questions that nothing answers, of prefixes.
HELD_OUT: tuple[tuple[int, int, float, float], ...] = (
    (1, 1, 0.0, 0.0),
    (1, 1, 0.0, 1.0),
    (3, 1, 0.0, 0.5),
    (3, 2, 0.0, 0.5),
    (2, 1, 1.0, 0.5),
)


def held_out(seed: int) -> Iterator[Chat]:
    """Endless chats with names that no training shows, one question each; the shapes take turns."""
    rng = random.Random(f"json/held-out/{seed}")
    for passages, facts, unknown, share in cycle(HELD_OUT):
        shape = Shape(passages, facts, 0.6, 0.2, unknown)
        yield convert(conversation(rng, "held-out", shape, 1, share), plain_shots=True)
