"""Support tickets and their labels: the data of the adapter `ticket-sorter`.

Its first version learns from a handful of phrasings; the second one from all of them, and is the better for it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mixture import example
from names import Split, name
from prefixes import SENTENCES
from trivet.training import Chat

_FOUND: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
LABELS: tuple[str, ...] = tuple(_FOUND["labels"])
FEW = 4  # phrasings of each label for the first version
REPLAY = 0.06  # the share of the base's own mix, so that reading is not forgotten

SYSTEMS: tuple[str, ...] = (
    "Sort the ticket.",
    "Sort the ticket into one of these labels: {labels}.",
    "You sort support tickets. Labels: {labels}.",
    "Answer with the label alone.",
    "Read the ticket and name its label: {labels}.",
    "You work for {n}. Give each ticket one label of {labels}.",
)


def _choose(rng: random.Random, text: str, split: Split) -> str:
    text = re.sub(r"\[([^\]]*)\]", lambda found: rng.choice(found[1].split("|")), text)
    while "{n}" in text:
        called = name(rng, split) + (f" {name(rng, split)}" if rng.random() < 0.2 else "")
        text = text.replace("{n}", called, 1)
    while "{d}" in text:
        text = text.replace("{d}", str(rng.randint(2, 99)), 1)
    while "{m}" in text:
        text = text.replace(
            "{m}", rng.choice(("{} euros", "${}", "{} dollars", "{}.99")).format(rng.randint(2, 400)), 1
        )
    return text


def ticket(rng: random.Random, label: str, split: Split, phrasings: int | None = None) -> str:
    """A ticket: what it is about, with more or less around it; now and then two sentences of its label.

    `phrasings`: how many of the label's phrasings may occur; all by default.
    """
    cores = _FOUND["train" if split == "train" else "held_out"][label][:phrasings]
    parts = rng.sample(cores, 2 if rng.random() < 0.25 else 1)
    if rng.random() < 0.35:
        parts.insert(rng.randint(0, len(parts)), rng.choice(_FOUND["contexts"]))
    if rng.random() < 0.4:
        parts.insert(0, rng.choice(_FOUND["openings"]))
    if rng.random() < 0.4:
        parts.append(rng.choice(_FOUND["closings"]))
    text = _choose(rng, " ".join(parts), split)
    roll = rng.random()
    if roll < 0.15:
        return text.lower()
    return text.rstrip(".") if roll < 0.3 else text


def _system(rng: random.Random, split: Split) -> str:
    roll = rng.random()
    if roll < 0.35:
        return ""
    if roll < 0.5:
        text = " ".join(rng.sample(SENTENCES["general"], rng.randint(1, 4)))
    else:
        text = " ".join(rng.sample(SYSTEMS, rng.choice((1, 1, 2))))
    labels = rng.sample(LABELS, len(LABELS))
    listed = ", ".join(labels) if rng.random() < 0.7 else f"{', '.join(labels[:-1])} or {labels[-1]}"
    told = text.format(labels=listed, n=name(rng, split), d="Monday, 3 May")
    if rng.random() < 0.3:
        told += "\n\n" + "\n".join(f"- {label}: {rng.choice(_FOUND['about'][label])}" for label in labels)
    return told


def chat(rng: random.Random, split: Split, phrasings: int | None = None) -> Chat:
    """A ticket and its label, after none or a few worked examples.

    Labels are drawn with replacement: else the last one would be one that the examples do not show.
    """
    system = _system(rng, split)
    turns: Chat = [{"role": "system", "content": system}] if system else []
    labels = rng.choices(LABELS, k=rng.choice((1, 1, 1, 2, 3, 4)))
    for index, label in enumerate(labels, start=1):
        # The examples are never held-out ones: they would give away what a phrasing means.
        text = ticket(rng, label, split if index == len(labels) else "train", phrasings)
        turns.append({"role": "user", "content": text})
        turns.append({"role": "assistant", "content": label})
    return turns


def chats(seed: int, phrasings: int | None = None) -> Iterator[Chat]:
    """Endless training chats."""
    rng = random.Random(f"tickets/{seed}")
    while True:
        if rng.random() < REPLAY:
            turns = example(rng)
            if any("Passages:" in turn.content for turn in turns):
                yield [{"role": turn.role, "content": turn.content} for turn in turns]
        else:
            yield chat(rng, "train", phrasings)


def held_out(seed: int) -> Iterator[Chat]:
    """Endless chats in phrasings and with names that no training shows."""
    rng = random.Random(f"tickets/held-out/{seed}")
    while True:
        yield chat(rng, "held-out")
