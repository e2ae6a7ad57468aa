"""Chats that teach a small model to write a follow-up question so that it stands alone: made by rule of another manual.

    python -m benchmarks.retrieval_quality.rewriting_chats

A topic and a second word come from sentences of Debian's reference manual, and a question of a fixed list is asked
about both. In the follow-up a pronoun stands for the topic, which an earlier turn names; some chats change their
subject before, and some questions need no change. No text of the manual that `benchmarks.retrieval_quality` asks about
is in them. `models/real/recipes/rewrite.yaml` trains on what this writes.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring.repository import ROOT
from benchmarks.retrieval_quality.wordings import text_frequencies
from benchmarks.searching.debian import unpacked
from trivet.pipeline.rewriting.transcript import transcript
from trivet.types.request import Message
from trivet.types.variant import RewriteSettings, VersionRef

INSTRUCTION = (
    "Write the last question so that it can be understood without the conversation. Answer with the question alone."
)
SETTINGS = RewriteSettings(VersionRef("rewrite", "1"))
PACKAGE, PAGES = "debian-reference-en", "usr/share/debian-reference/*.en.html"
QUESTIONS = (
    "How do I use {t} with {c}?", "Does {t} need {c}?", "Is {t} larger than {c}?", "Where do I find the {c} of {t}?",
    "Can I have {c} without {t}?", "Which {t} belongs to this {c}?", "How do I turn {t} off?",
    "Who writes the {c} of {t}?", "What happens to {c} when {t} is removed?", "Are there other {t} for {c}?",
    "Where is {t} kept?", "What is {t} for?", "Which {c} should I choose for {t}?", "Does {t} run on {c}?",
    "When was {t} added to {c}?", "How much {c} does {t} take?", "Is it safe to delete {t} after {c}?",
    "How often should {t} be checked?", "What comes after {t}?", "Why is {t} so slow?", "Could {c} replace {t}?",
    "How do I print {t}?", "What did {t} do before {c}?", "Has {t} a limit of {c}?",
)  # fmt: skip
OPENINGS = (
    ("I have a question about {t}.", "What do you want to know?"), ("Tell me about {t}.", "{s}"),
    ("What is {t}?", "{s}"), ("Does {t} belong to {c}?", "Yes."), ("I am new to {t}.", "How can I help?"),
    ("Where can I read about {t}?", "In the manual."),
)  # fmt: skip
PRONOUNS = ("that", "that", "that", "it", "this", "they")
DISTRACTED, UNCHANGED = 0.25, 0.1  # shares of the chats
_WORD = re.compile(r"[A-Za-z]{4,24}")
_BLOCKS = re.compile(r"<(script|style|pre|table)\b.*?</\1>", re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.?!])\s+")


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence, its rarest word, and the next one."""

    sentence: str
    topic: str
    other: str


def said_in(folder: Path) -> list[Said]:
    """The sentences of the manual that have two words of their own; raises Unavailable."""
    pages = [_text(path.read_text("utf-8")) for path in sorted(unpacked(PACKAGE, folder).glob(PAGES))]
    sentences = sorted({one for page in pages for one in _SENTENCE.split(page) if 6 <= len(one.split()) <= 20})
    known = text_frequencies(sentences)
    found = []
    for sentence in sentences:
        words = sorted(
            {word for word in _WORD.findall(sentence) if word.islower()}, key=lambda word: (known[word], word)
        )
        if len(words) > 1:
            found.append(Said(sentence, words[0], words[1]))
    return found


def chats(said: Sequence[Said], count: int, seed: int) -> Iterator[dict[str, list[dict[str, str]]]]:
    """So many chats, of three turns each: the instruction, the conversation, the question that stands alone."""
    draw = random.Random(seed)
    for _ in range(count):
        one, before = draw.choice(said), draw.choice(said)
        question = draw.choice(QUESTIONS)
        alone = question.format(t=one.topic, c=one.other)
        asked = alone if draw.random() < UNCHANGED else question.format(t=draw.choice(PRONOUNS), c=one.other)
        turns = [*(_opening(before, draw) if draw.random() < DISTRACTED else ()), *_opening(one, draw)]
        shown = transcript([*turns, Message("user", asked[0].upper() + asked[1:])], SETTINGS)
        yield {
            "messages": [
                {"role": "system", "content": INSTRUCTION},
                {"role": "user", "content": shown},
                {"role": "assistant", "content": alone},
            ]
        }


def _opening(said: Said, draw: random.Random) -> list[Message]:
    asked, answered = (text.format(t=said.topic, c=said.other, s=said.sentence) for text in draw.choice(OPENINGS))
    return [Message("user", asked), Message("assistant", answered)]


def _text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", _BLOCKS.sub(" ", page))).split())


def main() -> None:
    """Write the chats to learn from, and those to score the adapter with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--count", type=int, default=1600, help="chats to learn from (default: 1600)")
    add("--held-out", type=int, default=60, help="chats to score with, of other sentences (default: 60)")
    add("--to", type=Path, default=ROOT / "models/real/runs/data", help="a folder (default: models/real/runs/data)")
    add("--folder", type=Path, default=ROOT / ".data/benchmark/quality/sources", help="where packages are kept")
    given = parser.parse_args()
    said = said_in(given.folder)
    given.to.mkdir(parents=True, exist_ok=True)
    for name, part, count, seed in (
        ("rewrite", said[::2], given.count, 1),
        ("rewrite-held-out", said[1::2], given.held_out, 2),
    ):
        lines = [json.dumps(chat, ensure_ascii=False) + "\n" for chat in chats(part, count, seed)]
        (given.to / f"{name}.jsonl").write_text("".join(lines), "utf-8")
        print(given.to / f"{name}.jsonl")


if __name__ == "__main__":
    main()
