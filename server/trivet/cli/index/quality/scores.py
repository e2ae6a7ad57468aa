"""How well the questions of an index are answered, with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from trivet.evaluation.statistics import Bootstrap, Interval, percentile_interval, wilson

MAX_QUESTIONS = 10_000
CUTS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Question:
    """`documents`: any of them answers it."""

    text: str
    documents: frozenset[str]


@dataclass(frozen=True, slots=True)
class Answered:
    """`found`: the documents that were found, best first, each once for each of its passages."""

    question: Question
    found: tuple[str, ...]

    @property
    def rank(self) -> int | None:
        """Of the first passage of a right document, from 1."""
        right = (place for place, one in enumerate(self.found, 1) if one in self.question.documents)
        return next(right, None)


@dataclass(frozen=True, slots=True)
class Score:
    """A mean over the questions, and its 95% interval."""

    name: str
    value: float
    interval: Interval


def read_questions(path: Path) -> list[Question]:
    """Lines of {"question", "document"} or {"question", "documents"}; raises click.UsageError naming the line."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path}: it is not UTF-8 ({error.reason} at byte {error.start:,})") from None
    questions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            questions.append(_question(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise click.UsageError(f"{path}:{number}: {error}") from None
        if len(questions) > MAX_QUESTIONS:
            raise click.UsageError(f"{path}: more than {MAX_QUESTIONS:,} questions")
    if not questions:
        raise click.UsageError(f"{path} has no questions, expected lines of {{'question', 'document'}}")
    return questions


def scores(answered: Sequence[Answered], top_k: int) -> list[Score]:
    """Shares of questions with a right document among the first k passages, mean reciprocal rank, nDCG.

    A question has one right answer, wherever it stands first: its gain at rank r is 1 / log2(r + 1).
    """
    ranks = [one.rank for one in answered]
    n = len(ranks)
    found = []
    for k in [cut for cut in CUTS if cut <= top_k]:
        hits = sum(rank is not None and rank <= k for rank in ranks)
        found.append(Score(f"hit@{k}", hits / n, wilson(hits, n)))
    bootstrap = Bootstrap(n)
    for name, gain in _GAINS:
        values = np.array([0.0 if rank is None else gain(rank) for rank in ranks])
        mean = float(values.mean())
        interval = percentile_interval(bootstrap.means(values)) or Interval(mean, mean)
        found.append(Score(f"{name}@{top_k}", mean, interval))
    return found


def _reciprocal(rank: int) -> float:
    return 1 / rank


def _discounted(rank: int) -> float:
    return 1 / math.log2(rank + 1)


_GAINS: Sequence[tuple[str, Callable[[int], float]]] = (("MRR", _reciprocal), ("nDCG", _discounted))


def _question(value: object) -> Question:
    """Raises ValueError."""
    if not isinstance(value, dict) or not isinstance(text := value.get("question"), str) or not text.strip():
        raise ValueError("no 'question' that is a text")
    documents = value.get("documents", [value["document"]] if "document" in value else [])
    if not (isinstance(documents, list) and documents and all(isinstance(one, str) for one in documents)):
        raise ValueError("expected 'document', or 'documents' as a list of ids")
    return Question(text, frozenset(documents))
