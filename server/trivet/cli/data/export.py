"""`trivet data export`: from what was rated and corrected to training data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict

from trivet.api.v1 import interaction_pb2
from trivet.cli.console.output import print_json
from trivet.cli.data.filters import filter_options
from trivet.cli.data.prompts import messages_of
from trivet.cli.data.reading import choice_of, manifest_of, read, tell
from trivet.cli.data.suites import SOURCES, TRAINING, Asked, asked_by, source, suite_files
from trivet.cli.options.config import LoadConfig, config_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target
from trivet.datasets.folder import write_folder
from trivet.datasets.row import Row
from trivet.datasets.selection import Form, Selection, select
from trivet.datasets.split import split
from trivet.types.variant import VersionRef

_SHARE = click.FloatRange(0, 1)


@click.command(short_help="Write training data.")
@click.argument("folder", type=click.Path(path_type=Path))
@filter_options
@click.option(
    "--form",
    type=click.Choice(["chats", "pairs", "raw"]),
    default="chats",
    show_default=True,
    help="Chats for supervised training, pairs for preference training, or everything as it is kept.",
)
@click.option("--good", type=_SHARE, default=0.8, show_default=True, help="Learn answers rated so or better.")
@click.option("--margin", type=_SHARE, default=0.5, show_default=True, help="Prefer answers rated so much better.")
@click.option(
    "--held-out", type=click.FloatRange(0, 0.9), default=0.1, show_default=True, help="Hold out so many units."
)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Leave out what this suite asks, beside those in evals/; repeatable.",
)
@click.option("--prompt", help="Begin each chat with this prompt (name@version), which has no variables.")
@click.option(
    "--failures",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Have corrected ones learned so many times as often as the others.",
)
@click.option("--limit", type=click.IntRange(1), help="Read at most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@target_options("operators")
@config_options
def export(
    load: LoadConfig,
    target: Target,
    folder: Path,
    wanted: interaction_pb2.InteractionFilter,
    form: str,
    good: float,
    margin: float,
    held_out: float,
    suites: tuple[Path, ...],
    prompt: str | None,
    failures: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Write what the interaction log keeps of the key's tenant to FOLDER, which must not be there yet.

    Chats have the corrected answer, or one that was rated well; pairs have the corrected answer and the one that was
    given, or two answers to the same conversation of which one was rated much better. Corrections come first. Each
    conversation is there once, what an evaluation asks and whom it asks is left out, and no unit is on both sides of
    the split.
    export.json tells where everything comes from; sources.jsonl, the request of each line.

    \b
    Examples:
      trivet data export out/chats --route support --since 30d
      trivet data export out/pairs --form pairs --variant candidate --held-out 0.2
      trivet data export out/all --form raw
    """
    asked = asked_by(suite_files(load, suites))
    before = [] if prompt is None else messages_of(load(), _ref(prompt))
    manifest = manifest_of(form, wanted)
    with Client(target) as client:
        wanted.rated = form != "raw"  # of those that nobody said anything of, nothing is learned
        found = read(client, wanted, limit)
        if form == "raw":
            made = write_folder(folder, {"interactions.jsonl": map(_raw, found)}, manifest)
        else:
            lessons = _Lessons(form, good, margin, held_out, prompt, failures)  # type: ignore[arg-type]
            chosen = lessons.select(found, asked)
            manifest |= {**lessons.told(), **choice_of(asked, chosen)}
            made = write_folder(folder, lessons.files(chosen.rows, before), manifest)
    if as_json:
        print_json(made)
    else:
        tell(folder, made)


@dataclass(frozen=True, slots=True)
class _Lessons:
    """What becomes training data, as the command's options say it."""

    form: Form
    good: float
    margin: float
    held_out: float
    prompt: str | None
    failures: int

    def select(self, found: Iterable[interaction_pb2.Interaction], asked: Asked) -> Selection:
        return select(
            found,
            self.form,
            good=self.good,
            margin=self.margin,
            taken=asked.questions,
            units=asked.units,
            held_out=self.held_out,
        )

    def told(self) -> dict[str, Any]:
        """For the manifest."""
        settings = {"good": self.good} if self.form == "chats" else {"margin": self.margin}
        return {**settings, "held_out": self.held_out, "prompt": self.prompt, "failures": self.failures}

    def files(self, rows: Sequence[Row], before: Sequence[dict[str, Any]]) -> dict[str, Iterator[dict[str, Any]]]:
        parts = split(rows, self.held_out)
        written = partial(Row.as_chat if self.form == "chats" else Row.as_pair, before=before, failures=self.failures)
        return _files(written, parts.training, parts.held_out)


def _ref(text: str) -> VersionRef:
    try:
        return VersionRef.parse(text)
    except ValueError as error:
        raise click.UsageError(f"--prompt: {error}") from error


def _files(
    written: Callable[[Row], dict[str, Any]], training: Sequence[Row], held_out: Sequence[Row]
) -> dict[str, Iterator[dict[str, Any]]]:
    parts = {TRAINING: training, "held-out.jsonl": held_out}
    lines = {name: map(written, rows) for name, rows in parts.items()}
    sources = (source(name, number, row) for name, rows in parts.items() for number, row in enumerate(rows, start=1))
    return {**lines, SOURCES: sources}


def _raw(one: interaction_pb2.Interaction) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(one, preserving_proto_field_name=True)
    return found
