"""The questions that the teacher is asked: out of files and the interaction log, none of which an evaluation asks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from trivet.api.v1 import interaction_pb2
from trivet.cli.data.reading import read
from trivet.cli.data.suites import Asked
from trivet.cli.distill.recipe import Distillation
from trivet.client import Client, Target
from trivet.datasets.row import plain
from trivet.errors import FailedPrecondition
from trivet.evaluation.data import Example, read_examples
from trivet.evaluation.reply import Form, line_of


@dataclass(frozen=True, slots=True)
class Questions:
    """Each once, in the order of the sources. `left_out`: how many were not taken, by the reason."""

    examples: tuple[Example, ...]
    left_out: Counter[str]


def gather(recipe: Distillation, taken: Asked, target: Target, limit: int | None) -> Questions:
    """The first `limit` of them, or all. FailedPrecondition if none is left, CallFailed if the log cannot be read."""
    left_out: Counter[str] = Counter()
    examples: dict[str, Example] = {}
    for one in _all(recipe, taken, target, left_out):
        name = question_id(one.question)
        if plain(one.question) in taken.questions:
            left_out["an evaluation asks it"] += 1
        elif name in examples:
            left_out["asked before"] += 1
        else:
            examples[name] = replace(one, id=name)
        if len(examples) == limit:
            break
    if not examples:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
        raise FailedPrecondition(
            f"{recipe.name}: no question is left to ask the teacher ({reasons or 'none was found'})"
        )
    return Questions(tuple(examples.values()), left_out)


def question_id(question: str) -> str:
    """The same for questions that differ in case, blanks or punctuation alone."""
    return hashlib.sha256(plain(question).encode()).hexdigest()[:24]


def _all(recipe: Distillation, taken: Asked, target: Target, left_out: Counter[str]) -> Iterator[Example]:
    for name in recipe.file.questions.files or ():
        yield from read_examples(recipe.folder / name)
    section = recipe.file.questions.log
    if section is not None:
        with Client(target) as client:
            wanted = interaction_pb2.InteractionFilter(routes=[section.route])
            yield from logged(read(client, wanted, section.most), recipe.suite.form, taken, left_out)


def logged(
    interactions: Iterable[interaction_pb2.Interaction], form: Form, taken: Asked, left_out: Counter[str]
) -> Iterator[Example]:
    """Those that are one question; with what is right about the answer, where somebody corrected it."""
    judged = line_of(form)
    for one in interactions:
        if one.unit in taken.units:
            left_out["its unit is an evaluation's"] += 1
        elif len(one.messages) != 1 or one.messages[0].role != "user" or one.tool_calls:
            left_out["it is more than one question"] += 1
        elif one.variables:
            left_out["it has variables"] += 1
        else:
            corrected = one.rating.corrected_text.strip()
            line = (judged(corrected) if corrected else None) or {}
            yield Example(one.request_id, one.messages[0].content).judged_by(line)
