"""`trivet data suite`: from what was rated and corrected to questions that judge the next change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from trivet.api.v1 import interaction_pb2
from trivet.cli.console.output import print_json
from trivet.cli.data.arms import arms_of, schema_of
from trivet.cli.data.filters import filter_options
from trivet.cli.data.reading import choice_of, manifest_of, read, tell
from trivet.cli.data.suites import SOURCES, asked_by, learned_by, source, suite_files
from trivet.cli.options.config import LoadConfig, config_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target
from trivet.config import Config
from trivet.datasets.folder import write_folder
from trivet.datasets.questions import Question, as_questions
from trivet.datasets.selection import select
from trivet.errors import FailedPrecondition
from trivet.evaluation.reply import Form, line_of

_QUESTIONS = "questions.jsonl"


@click.command(short_help="Write an evaluation suite.")
@click.argument("folder", type=click.Path(path_type=Path))
@filter_options
@click.option("--good", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Answers rated so are right.")
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Take the units that exports hold out with this share; 1 for all.",
)
@click.option("--label", "labels", multiple=True, help="A right answer is one of these labels; repeatable.")
@click.option("--unknown", multiple=True, help="A text that says that nothing answers the question; repeatable.")
@click.option(
    "--not-in",
    "exports",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Leave out units and questions that this export trains on; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@target_options("operators")
@config_options
def suite(
    load: LoadConfig,
    target: Target,
    folder: Path,
    wanted: interaction_pb2.InteractionFilter,
    good: float,
    held_out: float,
    labels: tuple[str, ...],
    unknown: tuple[str, ...],
    exports: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write a suite for `trivet eval` to FOLDER, which must not be there yet, from one route's interactions.

    Its questions are those of held-out units whose answer was corrected or rated well, each once; its arms are the
    route's variants. Whoever exports training data later leaves out its questions and its units, and units that an
    export named by --not-in trains on are left out here. sources.jsonl has the request of each question.

    \b
    Examples:
      trivet data suite evals/support --route support
      trivet data suite evals/tickets --route tickets --label billing --label login --not-in out/chats
    """
    if len(wanted.routes) != 1:
        raise click.UsageError("expected one --route: its variants are the suite's arms")
    config, route = load(), wanted.routes[0]
    form = Form(None if labels else schema_of(config, route), unknown=unknown, labels=labels)
    arms = arms_of(config, route)
    learned, trained = learned_by(exports)
    known = asked_by(suite_files(load, ()))
    wanted.rated = True
    with Client(target) as client:
        found = read(client, wanted)
        chosen = select(found, "chats", good=good, margin=0, taken=known.questions, held_out=held_out)
    questions = as_questions(chosen.rows, held_out, learned, line_of(form), chosen.left_out)
    if not questions:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in chosen.left_out.most_common())
        raise FailedPrecondition(f"no question is left: of {chosen.read:,} interactions {reasons or 'none was rated'}")
    settings = {"good": good, "held_out": held_out, "not_in": trained}
    manifest = manifest_of("suite", wanted) | settings | choice_of(known, chosen)
    files = {
        _QUESTIONS: (question.line for question in questions),
        SOURCES: (source(_QUESTIONS, number, one.row) for number, one in enumerate(questions, start=1)),
    }
    text = yaml.safe_dump(_suite_file(config, route, form, arms, questions), sort_keys=False, allow_unicode=True)
    made = write_folder(folder, files, manifest, {"suite.yaml": text})
    if as_json:
        print_json(made)
    else:
        tell(folder, made)


def _suite_file(
    config: Config, route: str, form: Form, arms: dict[str, dict[str, Any]], questions: Sequence[Question]
) -> dict[str, Any]:
    variants = config.file.routes[route].variants
    told: dict[str, Any] = {
        "version": 1,
        "description": f"Questions of the route {route}, as its users rated and corrected the answers.",
        "data": _QUESTIONS,
        "max_tokens": max(section.sampling.max_tokens for section in variants.values()),
    }
    told |= {"json_schema": form.json_schema} if form.json_schema is not None else {}
    told |= {"unknown": list(form.unknown)} if form.unknown else {}
    told |= {"labels": list(form.labels)} if form.labels else {}
    told["correct"] = _judgements(form, questions)
    told["baseline"] = _with_schema(*next(iter(arms.items())))
    return told | {"arms": arms}


def _with_schema(name: str, arm: dict[str, Any]) -> str:
    return f"{name}+schema" if arm.get("json_schema") == "with" else name


def _judgements(form: Form, questions: Sequence[Question]) -> list[str]:
    """Those that apply to at least one question."""
    if form.labels:
        return ["label_accuracy", "format_valid"]
    answers = [question.line["answer"] for question in questions]
    applying = {
        "exact_match": any(answer is not None for answer in answers),
        "says_unknown": any(answer is None for answer in answers),
        "format_valid": form.json_schema is not None,
    }
    return [name for name, applies in applying.items() if applies]
