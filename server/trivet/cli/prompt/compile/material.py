"""What a search learns from: questions with a right answer, none of which an evaluation asks."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trivet.datasets.row import plain
from trivet.errors import FailedPrecondition
from trivet.evaluation.data import Example, read_examples
from trivet.evaluation.reply import Form

_LEAST = 4  # on each side


@dataclass(frozen=True, slots=True)
class Material:
    """`training` comes with right answers; candidates are chosen by `validation`. `digest` of all of it."""

    training: tuple[tuple[Example, str], ...]
    validation: tuple[Example, ...]
    left_out: Counter[str]
    digest: str


def gather(
    files: Iterable[Path], form: Form, taken: frozenset[str], *, validation: int, training: int, seed: int
) -> Material:
    """Shuffled by the seed; half of it, and at most so many, on each side. ConfigError for files that are wrong,
    FailedPrecondition if too few are left."""
    left_out: Counter[str] = Counter()
    found: dict[str, tuple[Example, str]] = {}
    for example in (one for path in files for one in read_examples(path)):
        key = plain(example.question)
        answer = right_answer(example, form)
        if key in taken:
            left_out["an evaluation asks it"] += 1
        elif answer is None:
            left_out["it has no right answer"] += 1
        elif key in found:
            left_out["asked before"] += 1
        else:
            name = hashlib.sha256(key.encode()).hexdigest()[:24]
            found[key] = replace(example, id=name), answer
    chosen = [found[key] for key in sorted(found)]
    random.Random(f"compile/{seed}").shuffle(chosen)
    half = len(chosen) // 2
    learned, judged = chosen[:half][:training], chosen[half:][:validation]
    if min(len(learned), len(judged)) < _LEAST:
        reasons = ", ".join(f"{count:,}: {reason}" for reason, count in left_out.most_common()) or "the files are short"
        raise FailedPrecondition(f"{len(chosen)} questions are left, expected {2 * _LEAST} at least ({reasons})")
    known = json.dumps([[one.question, answer] for one, answer in (*learned, *judged)], ensure_ascii=False)
    return Material(
        tuple(learned), tuple(one for one, _ in judged), left_out, hashlib.sha256(known.encode()).hexdigest()[:16]
    )


def right_answer(example: Example, form: Form) -> str | None:
    """An answer as the suite wants it: the label, or the value in the suite's form; None if none is known."""
    if form.labels:
        return example.label
    if example.answers is None:
        return None
    if form.json_schema is None:
        return example.answers[0] if example.answers else _first(form.unknown)
    document: dict[str, object] = {form.value_field: example.answers[0] if example.answers else ""}
    if form.found_field is not None:
        document[form.found_field] = bool(example.answers)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _first(texts: Sequence[str]) -> str | None:
    return texts[0] if texts else None
