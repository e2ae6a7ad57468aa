"""Support tickets and their labels: the data of the adapter `ticket-sorter`."""

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
REPLAY = 0.15  # the share of the base's own mix, so that reading is not forgotten

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


def ticket(rng: random.Random, label: str, split: Split) -> str:
    """A ticket: what it is about, with more or less around it; now and then two sentences of its label."""
    cores = _FOUND["train" if split == "train" else "held_out"][label]
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


def _system(rng: random.Random, split: Split) -> Chat:
    roll = rng.random()
    if roll < 0.4:
        return []
    text = rng.choice(SYSTEMS) if roll < 0.8 else " ".join(rng.sample(SENTENCES["general"], rng.randint(1, 4)))
    labels = ", ".join(rng.sample(LABELS, len(LABELS)))
    return [{"role": "system", "content": text.format(labels=labels, n=name(rng, split), d="Monday, 3 May")}]


def chat(rng: random.Random, split: Split) -> Chat:
    label = rng.choice(LABELS)
    asked = ticket(rng, label, split)
    return [*_system(rng, split), {"role": "user", "content": asked}, {"role": "assistant", "content": label}]


def chats(seed: int) -> Iterator[Chat]:
    """Endless training chats."""
    rng = random.Random(f"tickets/{seed}")
    while True:
        if rng.random() < REPLAY:
            turns = example(rng, 1.0)
            if any("Passages:" in turn.content for turn in turns):
                yield [{"role": turn.role, "content": turn.content} for turn in turns]
        else:
            yield chat(rng, "train")
