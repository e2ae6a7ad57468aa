"""`trivet data weigh`: chats to train on, with more weight where a prompt alone answers wrongly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trivet import __version__
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import print_json
from trivet.cli.data.reading import tell
from trivet.cli.data.suites import TRAINING, asked_by, suite_files
from trivet.cli.options.config import LoadConfig, config_options
from trivet.datasets.folder import write_folder
from trivet.errors import FailedPrecondition

if TYPE_CHECKING:
    from trivet.cli.data.weighing.failures import Weighed
    from trivet.evaluation.arms import Arm
    from trivet.evaluation.suite import Suite


@click.command(short_help="Weigh training data by what a prompt gets wrong.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--chats",
    "files",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Chats whose last message is the right answer, as training reads them; repeatable.",
)
@click.option("--suite", "named", required=True, help="What judges answers: a suite's name, file or folder.")
@click.option("--arm", "name", default="", help="The suite's arm that is asked; default: its baseline.")
@click.option(
    "--failures",
    type=click.IntRange(2, 100),
    default=3,
    show_default=True,
    help="Have chats that it gets wrong learned so many times as often as the others.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Requests in flight at a time."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@config_options
def weigh(
    load: LoadConfig,
    folder: Path,
    files: tuple[Path, ...],
    named: str,
    name: str,
    failures: int,
    concurrency: int,
    as_json: bool,
) -> None:
    """Ask an arm of a suite what each chat asks, and write the chats to FOLDER, which must not be there yet.

    Chats that the arm answers wrongly get a weight, so that a training learns more of what the prompt gets wrong than
    of what it gets right. The suite's own metrics judge, against each chat's last message. What an evaluation asks is
    left out. Answers are kept: the same command, interrupted, asks the rest. export.json tells how many were wrong.

    \b
    Examples:
      trivet data weigh out/weighed --chats train.jsonl --suite tickets --arm adapter
      trivet data weigh out/weighed --chats a.jsonl --chats b.jsonl --suite tickets --failures 5
    """
    from trivet.cli.data.weighing.failures import weighed  # here, because others start faster without
    from trivet.cli.evaluation.run import EvaluationOptions, find_suite
    from trivet.evaluation.runner import Pace
    from trivet.evaluation.suite import load_suite
    from trivet.training.files.chat_files import read_chats

    if folder.exists():
        raise FailedPrecondition(f"{folder} is there already, expected a name that is not")
    config, path = load(), find_suite(named)
    suite = load_suite(path)
    arm = suite.arm(name or suite.main.baseline)
    taken = asked_by(suite_files(load, [path]))
    read = read_chats(files)
    with interrupted("the answers so far are kept. The same command asks the others"):
        found = weighed(
            config, suite, arm, read.chats, taken.questions, failures, EvaluationOptions(pace=Pace(concurrency))
        )
    manifest = {"form": "chats", "digest": read.digest, "suites": taken.told, "failures": failures}
    made = write_folder(folder, {TRAINING: found.lines}, _manifest(manifest, suite, arm, files, found))
    if as_json:
        print_json(made)
    else:
        tell(folder, made)
        click.echo(f"{found.wrong:,} of {found.judged:,} answers of {arm.name} were wrong: weight {failures}")
        if found.wrong in (0, found.judged):
            click.secho("all chats weigh the same, expected an arm that is right now and then", fg="yellow", err=True)


def _manifest(
    settings: dict[str, Any], suite: Suite, arm: Arm, files: Sequence[Path], found: Weighed
) -> dict[str, Any]:
    return {
        "trivet": __version__,
        **settings,
        "chats": [path.name for path in files],
        "judged_by": suite.name,
        "arm": arm.asked,
        "answers": found.digest,
        "judged": found.judged,
        "wrong": found.wrong,
        "left_out": dict(found.left_out.most_common()),
        "not_judged": dict(found.not_judged.most_common()),
    }
