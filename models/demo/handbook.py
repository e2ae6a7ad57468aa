"""How well the model reads the demo's handbook, given passages as an index would give them.

The handbook is never trained on. The right paragraph is found by its answer, the others by words shared with the
question, so this measures reading and not retrieval.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from evaluate import load_folder
from export import WEIGHTS, load_run
from prefixes import Turn, passage_block
from scores import Score, score
from tokenizer import FILE
from train import RUNS
from wording import UNKNOWN

INDEX = Path(__file__).parents[2] / "indexes" / "handbook"
SYSTEM = (
    "You are the support assistant of Veskara. Use only the passages. Answer with only the value. If the passages do "
    "not say, answer: I do not know."
)


def paragraphs(corpus: Path) -> dict[str, list[str]]:
    """The paragraphs of every document by the document's id; headings and titles left out."""
    found: dict[str, list[str]] = {}
    for path in sorted(file for file in corpus.rglob("*") if file.is_file()):
        text = path.read_text()
        blocks = re.findall(r"<p>(.*?)</p>", text, re.S) if path.suffix == ".html" else text.split("\n\n")
        kept = [" ".join(block.split()) for block in blocks if block.strip().endswith(".")]
        found[str(path.relative_to(corpus).with_suffix(""))] = kept
    return found


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - {"the", "of", "is", "a", "what", "does", "how"}


def _right(question: dict[str, Any], found: dict[str, list[str]]) -> str:
    """The paragraph of the answer: of those that hold it, the one nearest to the question."""
    holding = [text for text in found[question["document"]] if question["answer"] in text]
    return max(holding, key=lambda text: len(_words(text) & _words(question["question"])))


def _near(question: str, found: dict[str, list[str]], count: int, but: str = "") -> list[str]:
    everything = [text for texts in found.values() for text in texts if text != but]
    return sorted(everything, key=lambda text: -len(_words(text) & _words(question)))[:count]


def _example(question: dict[str, Any], found: dict[str, list[str]], others: int, system: str) -> list[Turn]:
    rng = random.Random(question["question"])
    if question["answer"] is None:
        passages = _near(question["question"], found, others + 1)
    else:
        right = _right(question, found)
        passages = [right, *_near(question["question"], found, others, right)]
        rng.shuffle(passages)
    turns = [Turn("system", system)] if system else []
    asked = passage_block(passages) + question["question"]
    return [*turns, Turn("user", asked), Turn("assistant", question["answer"] or UNKNOWN)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="score this run's checkpoint instead of the committed weights")
    parser.add_argument("--wrong", action="store_true", help="list what is answered wrongly with one passage")
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = load_run(RUNS / given.run) if given.run else load_folder(WEIGHTS)
    tokenizer = Tokenizer.from_file(str(FILE))
    found = paragraphs(INDEX / "corpus")
    questions = [json.loads(line) for line in (INDEX / "questions.jsonl").read_text().splitlines()]
    known = [question for question in questions if question["answer"] is not None]
    unknown = [question for question in questions if question["answer"] is None]
    for system in ("", SYSTEM):
        for others in (0, 1, 2):
            parts: list[Score] = []
            for asked in (known, unknown):
                examples = [_example(question, found, others, system) for question in asked]
                parts.append(score(network, tokenizer, examples))
            shares = ", ".join(f"{one.right}/{one.n} = {one.share:.3f}" for one in parts)
            print(
                f"{'with' if system else 'no'} system text, {others + 1} passages: answerable, unanswerable: {shares}"
            )
    if given.wrong:
        for question in known:
            example = _example(question, found, 0, "")
            if not score(network, tokenizer, [example]).right:
                print(example[-2].content.replace("\n", " "), "->", question["answer"])


if __name__ == "__main__":
    main()
