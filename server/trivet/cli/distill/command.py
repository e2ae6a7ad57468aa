"""`trivet distill`: ask a teacher, keep its good answers, train a student, and compare the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.console.errors import print_failure
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import print_json, print_table
from trivet.cli.options.config import LoadConfig, config_options
from trivet.cli.options.target import target_options
from trivet.client import Target
from trivet.errors import ConfigError

if TYPE_CHECKING:
    from trivet.cli.distill.comparison import Compared, Saving
    from trivet.cli.distill.recipe import Distillation

FOLDER = "distillations"


@dataclass(frozen=True, slots=True)
class Found:
    """What came of it. `taught`: the manifest of the chats."""

    folder: Path
    taught: Mapping[str, Any]
    adapter: Mapping[str, Any]
    compared: Compared


@click.command(short_help="Train an adapter on the answers of a long prompt or a dearer model.")
@click.argument("recipe", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--limit", type=click.IntRange(1), help="Ask the teacher only the first N questions, for a try.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=8, show_default=True, help="Requests in flight at a time."
)
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="CPU threads to train with.")
@click.option("--restart", is_flag=True, help="Begin the training anew instead of going on from its checkpoint.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@target_options("operators")
@config_options
def distill(
    load: LoadConfig,
    target: Target,
    recipe: Path,
    limit: int | None,
    concurrency: int,
    threads: int,
    restart: bool,
    as_json: bool,
) -> None:
    """Distil a teacher into an adapter, as RECIPE (one YAML file) says.

    The teacher is an arm of the recipe's suite: a long prompt, the prompt with an adapter, or another backend, such as
    an OpenAI-compatible API. It is asked questions that no evaluation asks; answers that the suite's own metrics find
    wrong are left out; an adapter learns the others with the recipe's short prompt, and the suite says what it lost
    against the teacher, what it gained over the baseline, and what it saves. Servers are started for it; a running one
    is asked for the interaction log alone. Killed and run again, it goes on where it was.

    Exit codes: 0 the student is accepted, 1 it is not or something failed, 2 the recipe is wrong.

    \b
    Examples:
      trivet distill distill/tickets.yaml
      trivet distill distill/tickets.yaml --limit 200
      trivet distill distill/tickets.yaml --json | jq .accepted
    """
    try:
        found, read = _distil(load, target, recipe, limit, concurrency, threads, restart)
    except ConfigError as error:
        print_failure(error, as_json=as_json)
        raise click.exceptions.Exit(2) from error
    if as_json:
        print_json(_as_data(read, found))
    else:
        _show(read, found)
    if not found.compared.accepted:
        raise click.exceptions.Exit(1)


def _distil(
    load: LoadConfig, target: Target, path: Path, limit: int | None, concurrency: int, threads: int, restart: bool
) -> tuple[Found, Distillation]:
    from trivet.cli.data.suites import asked_by, suite_files  # here, because others start faster without
    from trivet.cli.distill import questions, student, teaching
    from trivet.cli.distill.comparison import compare
    from trivet.cli.distill.recipe import load_distillation
    from trivet.cli.evaluation.run import EvaluationOptions
    from trivet.evaluation.runner import Pace

    recipe, config = load_distillation(path), load()
    folder = config.data_dir / FOLDER / recipe.name
    chats = folder / "chats"
    options = EvaluationOptions(pace=Pace(concurrency))
    with interrupted(f"answers and the last checkpoint of {recipe.name} are kept. The same command goes on from there"):
        taken = asked_by(suite_files(load, [recipe.suite.path]))
        asked = questions.gather(recipe, taken, target, limit)
        lessons = teaching.teach(recipe, config, asked, options)
        teaching.write_chats(recipe, config, asked, lessons, chats)
        job = student.job_of(recipe, config, chats, threads)
        adapter = student.train(job, chats, restart=restart)
        compared = compare(recipe, config, options)
    return Found(job.target, teaching.manifest_of(chats), adapter, compared), recipe


def _as_data(recipe: Distillation, found: Found) -> dict[str, Any]:
    """Shares are between 0 and 1, costs in nano-USD, times in milliseconds."""
    compared = found.compared
    return {
        "adapter": recipe.name,
        "folder": str(found.folder),
        "taught": found.taught,
        "manifest": found.adapter,
        "report": asdict(compared.report),
        "savings": [asdict(one) for one in compared.savings],
        "checks": [asdict(check) for check in compared.checks],
        "accepted": compared.accepted,
    }


def _show(recipe: Distillation, found: Found) -> None:
    from trivet.cli.distill.comparison import AMOUNTS
    from trivet.cli.evaluation.showing import show_checks, show_part

    taught = found.taught
    click.echo(f"{recipe.name}: {found.folder}")
    click.echo(f"  taught    {taught['kept']:,} of {taught['asked']:,} answers of {recipe.teacher.name}")
    for reason, count in {**taught["left_out"]["questions"], **taught["left_out"]["answers"]}.items():
        click.echo(f"  left out  {count:,}: {reason}")
    for part in found.compared.report.parts:
        show_part(part)
    click.secho("\nA request, in the mean", dim=True)
    rows = [
        [AMOUNTS[one.name], _number(one.teacher), _number(one.student), less(one)] for one in found.compared.savings
    ]
    print_table(("amount", recipe.teacher.name, "student", "less, [95% interval]"), rows)
    click.echo()
    show_checks(found.compared.checks)
    said = "may take over from" if found.compared.accepted else "is not accepted in place of"
    click.secho(f"{recipe.name} {said} {recipe.teacher.name}.", bold=True)


def less(one: Saving) -> str:
    """A saved share in percent, with its interval."""
    if one.share is None:
        return "–"
    if one.interval is None:
        return f"{100 * one.share:.1f}%"
    return f"{100 * one.share:.1f}% [{100 * one.interval.low:.1f}, {100 * one.interval.high:.1f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
