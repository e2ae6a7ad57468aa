"""What a prompt says before the conversation: system texts and few-shot examples, in many wordings.

The model must read the passages of the conversation whatever stands before them, and learn one thing from it:
whether to answer with the value alone (also the default) or in a full sentence.
"""

from __future__ import annotations

import random
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

import words
from facts import entity, fact, sibling
from grammar import expand
from names import Split, name
from wording import UNKNOWN, Wording, ask, filler, state

Style = Literal["terse", "sentence"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    role: Role
    content: str


SENTENCES: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "instructions.yaml").read_text())
MOST_CHARACTERS = 700  # some 230 tokens


def passage_block(passages: list[str]) -> str:
    """The form in which the gateway gives retrieved passages."""
    lines = "".join(f"[{number}] {text}\n" for number, text in enumerate(passages, start=1))
    return f"Passages:\n{lines}\n"


def style(rng: random.Random) -> Style:
    return "sentence" if rng.random() < 0.3 else "terse"


def _shot(rng: random.Random, split: Split, wanted: Style, wording: Wording) -> tuple[list[str], str, str]:
    """One worked example: its passages, its question and its answer; never in held-out forms."""
    wording = "train" if wording == "held-out" else wording
    about = fact(rng, split)
    passages = [state(rng, about, wording)]
    if rng.random() < 0.4:
        passages.append(state(rng, fact(rng, split, sibling(about.entity, rng, split), about.relation), wording))
        rng.shuffle(passages)
    if rng.random() < 0.25:
        stranger = fact(rng, split, sibling(about.entity, rng, split))
        return passages, ask(rng, stranger, wording).text, UNKNOWN
    question = ask(rng, about, wording)
    return passages, question.text, about.value if wanted == "terse" else question.sentence


def _shot_text(rng: random.Random, split: Split, wanted: Style, wording: Wording, number: int) -> str:
    """A worked example inside the system text, in one of several formats."""
    passages, question, answer = _shot(rng, split, wanted, wording)
    joined = " ".join(passages)
    return rng.choice((
        f"Example:\n{passage_block(passages)}{question}\n{answer}",
        f"Example {number}:\n{joined}\nQuestion: {question}\nAnswer: {answer}",
        f"Q: {question}\nA: {answer}",
        f"Passage: {joined}\nQ: {question}\nA: {answer}",
        f'For example, "{question}" is answered with "{answer}".',
        f"{joined} {question} -> {answer}",
    ))  # fmt: skip


def _instruction(rng: random.Random, wanted: Style, wording: Wording) -> str | None:
    if wanted == "terse" and rng.random() < 0.45:
        return None  # terse is the default
    if wording == "train" and rng.random() < 0.5:
        return expand(rng, f"{wanted}_instruction")
    return rng.choice(SENTENCES[f"{wanted}_held_out" if wording == "held-out" else wanted])


def wrapped(rng: random.Random, text: str) -> str:
    """The text broken into lines, as an editor leaves it: a line break inside a sentence must mean nothing."""
    return textwrap.fill(text, rng.randint(40, 120), break_long_words=False, break_on_hyphens=False)


def system_text(rng: random.Random, split: Split, wanted: Style, wording: Wording) -> str:
    """Instructions of zero to some two hundred tokens."""
    general = SENTENCES["general"] + (SENTENCES["general_held_out"] if wording == "held-out" else [])
    count = rng.choice((0, 1, 2, 3, 5, 8)) if wanted == "terse" else rng.choice((0, 0, 1, 2, 4, 8))
    parts = rng.sample(general, count)
    instruction = _instruction(rng, wanted, wording)
    if instruction:
        parts.insert(rng.randint(0, len(parts)), instruction)
    if rng.random() < 0.6:
        parts.insert(0, rng.choice(SENTENCES["personas"]).format(n=name(rng, split)))
    while rng.random() < 0.2:
        parts.insert(rng.randint(0, len(parts)), filler(rng, entity(rng, split), split))
    text = _laid_out(rng, parts)
    return text.replace("{d}", f"{rng.choice(words.DAYS)}, {rng.randint(1, 31)} {rng.choice(words.MONTHS)}")


def _laid_out(rng: random.Random, parts: list[str]) -> str:
    """One line, a list, paragraphs, or wrapped lines."""
    roll = rng.random()
    if roll < 0.45 or not parts:
        return " ".join(parts)
    if roll < 0.55:
        return "- " + "\n- ".join(parts)
    if roll < 0.65:
        return f"{parts[0]}\n\n" + "\n".join(f"- {part}" for part in parts[1:])
    if roll < 0.75:
        return rng.choice(("\n", "\n\n")).join(parts)
    return wrapped(rng, " ".join(parts))


def prefix(
    rng: random.Random, split: Split, wanted: Style, wording: Wording = "train", share: float = 0.55
) -> list[Turn]:
    """The turns before the conversation; none at all for `1 - share` of the terse ones."""
    if wanted == "terse" and rng.random() > share:
        return []
    system = system_text(rng, split, wanted, wording)
    shots = rng.choice((0, 0, 1, 2, 2, 3))
    inside = rng.random() < 0.35
    turns: list[Turn] = []
    for number in range(1, shots + 1):
        if inside:
            text = _shot_text(rng, split, wanted, wording, number)
            system = f"{system}\n{text}" if len(system) + len(text) < MOST_CHARACTERS else system
            continue
        passages, question, answer = _shot(rng, split, wanted, wording)
        asked = passage_block(passages) + question
        if len(system) + sum(len(turn.content) + 12 for turn in turns) + len(asked) < MOST_CHARACTERS:
            turns += [Turn("user", asked), Turn("assistant", answer)]
    if not system and wanted == "sentence":
        system = rng.choice(SENTENCES["sentence"])
    return ([Turn("system", system.strip())] if system.strip() else []) + turns
