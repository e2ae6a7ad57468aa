"""What the teacher answered, which of it is learned, and why the rest is not."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trivet import __version__
from trivet.cli.data.prompts import shown
from trivet.cli.distill.questions import Questions
from trivet.cli.distill.recipe import Distillation
from trivet.cli.evaluation.config import prompt_file
from trivet.cli.evaluation.run import EvaluationOptions, answers_of
from trivet.config import Config
from trivet.datasets.folder import MANIFEST, write_folder
from trivet.datasets.split import is_held_out
from trivet.errors import FailedPrecondition
from trivet.evaluation.arms import Arm, arms_of
from trivet.evaluation.data import Example
from trivet.evaluation.metrics import Judgement, combined, score
from trivet.evaluation.outcomes import Outcome
from trivet.evaluation.reply import Form, ReplyReader, line_of, normalised
from trivet.prompts.template.parser import read_prompt
from trivet.types.variant import VersionRef

TRAINING, HELD_OUT = "train.jsonl", "held-out.jsonl"
LEAST = 20  # answers that a training is begun with
JUDGE_TOKENS = 8
YES = "yes"


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question, and the teacher's answer that is learned. `judged`: whether anything could judge it. `failed`:
    whether the baseline answers otherwise."""

    example: Example
    answer: str
    judged: bool
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Lessons:
    """`left_out`: how many answers are not learned, by the reason. `cost` of all in nano-USD, None: not known."""

    kept: tuple[Lesson, ...]
    left_out: Counter[str]
    asked: int
    cost: int | None
    digest: str


def teach(recipe: Distillation, config: Config, questions: Questions, options: EvaluationOptions) -> Lessons:
    """Ask the teacher what it has not been asked, then the judge, if there is one.

    Answers are kept in the data folder: killed and run again, it asks the rest. FailedPrecondition if too few answers
    are left to learn from.
    """
    answered, digest = _asked(recipe, config, questions.examples, recipe.teacher, options)
    outcomes = [answered[one.id] for one in questions.examples]
    left_out: Counter[str] = Counter()
    kept = list(
        filtered(questions.examples, outcomes, ReplyReader(recipe.suite.form), recipe.suite.main.correct, left_out)
    )
    if recipe.file.judge is not None and kept:
        kept = list(_passed(recipe, config, kept, options, left_out))
    if recipe.file.failures > 1 and kept:
        kept = list(_held_against(recipe, config, kept, options))
    if len(kept) < LEAST:
        reasons = ", ".join(f"{count:,}: {reason}" for reason, count in left_out.most_common())
        raise FailedPrecondition(
            f"{len(kept):,} of {len(outcomes):,} answers of {recipe.teacher.name} are left to learn from, expected "
            f"{LEAST} at least ({reasons or 'more questions are needed'})"
        )
    costs = [one.cost for one in outcomes]
    total = None if None in costs else sum(cost for cost in costs if cost is not None)
    return Lessons(tuple(kept), left_out, len(outcomes), total, digest)


def filtered(
    examples: Sequence[Example],
    outcomes: Sequence[Outcome],
    reader: ReplyReader,
    judgements: Sequence[Judgement],
    left_out: Counter[str],
) -> Iterator[Lesson]:
    """Answers that are whole and hold all that the suite asks of them, as far as it can be told without the truth: a
    question without a known answer is judged by its form alone, and one whose suite has no form by nothing."""
    for example, outcome in zip(examples, outcomes, strict=True):
        scores = score(example, outcome, reader)
        found = combined(scores, judgements)
        if outcome.error:
            left_out["the request failed"] += 1
        elif not outcome.text.strip():
            left_out["it is empty"] += 1
        elif outcome.finish == "length":
            left_out["it was cut off"] += 1
        elif outcome.degraded:
            left_out["it was degraded"] += 1
        elif found == 0.0:
            wrong = next(name for name in judgements if scores[name] is not None and scores[name] != 1.0)
            left_out[f"{wrong} does not hold"] += 1
        else:
            yield Lesson(example, outcome.text, found is not None)


def judge_question(lesson: Lesson) -> str:
    """What the judge is asked about an answer."""
    return f"Question:\n{lesson.example.question}\n\nAnswer:\n{lesson.answer}"


def write_chats(recipe: Distillation, config: Config, questions: Questions, lessons: Lessons, folder: Path) -> None:
    """Chats that begin with the student's prompt, and a manifest; the same lessons give the same bytes.

    `folder` is replaced as a whole. FailedPrecondition if nothing is left for the training.
    """
    ref = VersionRef.parse(recipe.file.prompt)
    before = shown(read_prompt(ref, prompt_file(config, recipe.suite, recipe.student)))
    sides: dict[str, list[Lesson]] = {TRAINING: [], HELD_OUT: []}
    for lesson in lessons.kept:
        sides[HELD_OUT if is_held_out(lesson.example.id, recipe.file.held_out) else TRAINING].append(lesson)
    if not sides[TRAINING]:
        raise FailedPrecondition(
            f"all {len(lessons.kept):,} answers are held out: more questions, or a smaller held_out"
        )
    shutil.rmtree(folder, ignore_errors=True)
    files = {name: (_chat(before, lesson, recipe.file.failures) for lesson in side) for name, side in sides.items()}
    write_folder(folder, files, told(recipe, questions, lessons))


def told(recipe: Distillation, questions: Questions, lessons: Lessons) -> dict[str, Any]:
    """Where an adapter's chats come from."""
    return {
        "trivet": __version__,
        "form": "distillation",
        "suite": recipe.suite.name,
        "teacher": recipe.teacher.asked,
        "answers": lessons.digest,
        "student_prompt": recipe.file.prompt,
        "asked": lessons.asked,
        "kept": len(lessons.kept),
        "judged": sum(lesson.judged for lesson in lessons.kept),
        "failures": {
            "of": sum(lesson.failed for lesson in lessons.kept),
            "weight": recipe.file.failures,
            "baseline": recipe.baseline.name,
        },
        "left_out": {
            "questions": dict(questions.left_out.most_common()),
            "answers": dict(lessons.left_out.most_common()),
        },
        "cost_nano_usd": lessons.cost,
    }


def manifest_of(folder: Path) -> dict[str, Any]:
    """What `write_chats` wrote."""
    found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return found


def _asked(
    recipe: Distillation, config: Config, examples: Sequence[Example], arm: Arm, options: EvaluationOptions
) -> tuple[Mapping[str, Outcome], str]:
    return answers_of(config, recipe.suite, f"distill-{recipe.suite.name}", examples, arm, options)


def _passed(
    recipe: Distillation, config: Config, kept: Sequence[Lesson], options: EvaluationOptions, left_out: Counter[str]
) -> Iterator[Lesson]:
    assert recipe.file.judge is not None
    [arm] = arms_of({"judge": recipe.file.judge}, JUDGE_TOKENS)
    asked = [replace(lesson.example, question=judge_question(lesson)) for lesson in kept]
    verdicts, _ = _asked(recipe, config, asked, arm, options)
    for lesson in kept:
        outcome = verdicts[lesson.example.id]
        if not outcome.error and normalised(outcome.text) == YES:
            yield replace(lesson, judged=True)
        else:
            left_out["the judge does not say yes"] += 1


def _held_against(
    recipe: Distillation, config: Config, kept: Sequence[Lesson], options: EvaluationOptions
) -> Iterator[Lesson]:
    """With what the baseline got wrong: against the known answer, or else against the teacher's."""
    examples = [lesson.example for lesson in kept]
    outcomes, _ = _asked(recipe, config, examples, recipe.baseline, options)
    reader = ReplyReader(recipe.suite.form)
    for lesson in kept:
        yield replace(lesson, failed=fails(lesson, outcomes[lesson.example.id], recipe.suite.form, reader))


def fails(lesson: Lesson, outcome: Outcome, form: Form, reader: ReplyReader) -> bool:
    """Whether an answer is not the known one, or not what the teacher said, in value or in form."""
    example = lesson.example
    if example.answers is None and example.label is None and (line := line_of(form)(lesson.answer)) is not None:
        example = example.judged_by(line)
    judged: list[Judgement] = ["exact_match", "says_unknown", "label_accuracy", "format_valid"]
    return combined(score(example, outcome, reader), judged) != 1.0


def _chat(before: Sequence[Mapping[str, Any]], lesson: Lesson, failures: int) -> dict[str, Any]:
    question = {"role": "user", "content": lesson.example.question}
    weight = {"weight": failures} if lesson.failed else {}
    return {"messages": [*before, question, {"role": "assistant", "content": lesson.answer}], **weight}
