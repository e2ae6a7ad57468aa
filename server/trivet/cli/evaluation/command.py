"""`trivet eval`: what each leg is worth, and the gate that a change has to pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import print_json, print_table
from trivet.cli.options.config import config_options
from trivet.cli.options.target import target_options
from trivet.client import Target
from trivet.config import Config

if TYPE_CHECKING:
    from trivet.evaluation.gate import Verdict
    from trivet.evaluation.report import PartReport, Report

MARGIN = 2.0


@click.command("eval", short_help="Compare arms on the same questions.")
@click.argument("suite")
@click.option("--arm", "arms", multiple=True, help="Ask only this arm and the baseline; repeatable.")
@click.option("--baseline", default="", help="The arm that others are compared with; default: the suite's.")
@click.option(
    "--gate", is_flag=True, help="Exit with 1 unless --candidate beats the baseline and does not fail the general part."
)
@click.option("--candidate", help="The arm that the gate judges.")
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=MARGIN,
    show_default=True,
    help="Percentage points by which it must beat the baseline.",
)
@click.option("--limit", type=click.IntRange(1), help="Ask only the first N questions of each part.")
@click.option("--no-general", is_flag=True, help="Leave out the general part; the gate needs it.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Requests in flight at a time."
)
@click.option("--fresh", is_flag=True, help="Ask everything again, also what was answered before.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="File to write the HTML page to.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
@target_options("clients")
@click.pass_context
def evaluate(
    context: click.Context,
    load: Callable[[], Config],
    target: Target,
    suite: str,
    arms: tuple[str, ...],
    baseline: str,
    gate: bool,
    candidate: str | None,
    margin: float,
    limit: int | None,
    no_general: bool,
    concurrency: int,
    fresh: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Put the same questions to every arm of SUITE (a file, a folder, or a name below evals/) and compare the answers.

    It starts a server of its own with one route for each arm, unless --address names a running server that has these
    routes (`eval-<arm>`). Answers are kept in the data folder: if it is interrupted, the same command asks the rest.

    \b
    Examples:
      trivet eval handbook
      trivet eval handbook --arm rag --arm hybrid --limit 20
      trivet eval handbook --gate --baseline rag --candidate hybrid --margin 2
    """
    from trivet.cli.evaluation.run import (  # here, because others start faster without
        Evaluation,
        EvaluationOptions,
        find_suite,
    )
    from trivet.evaluation.page import page
    from trivet.evaluation.runner import Pace

    if gate != (candidate is not None):
        raise click.UsageError("--gate and --candidate belong together")
    if gate and no_general:
        raise click.UsageError("--gate has to see the general part, expected no --no-general")
    running = context.get_parameter_source("address") is ParameterSource.COMMANDLINE
    options = EvaluationOptions(
        arms=(*arms, candidate) if candidate else arms,
        baseline=baseline,
        limit=limit,
        general=not no_general,
        fresh=fresh,
        pace=Pace(concurrency),
        target=target if running else None,
    )
    evaluation = Evaluation(load(), find_suite(suite), options)
    with interrupted(
        lambda: (
            f"{evaluation.kept:,} answers are kept in {evaluation.folder}. The same command asks the other questions"
        )
    ):
        report = evaluation.run()
    verdict = evaluation.judge(report, candidate, margin) if candidate else None
    path = html or evaluation.folder / "report.html"
    path.write_text(page(report, verdict), encoding="utf-8")
    if as_json:
        print_json(as_data(report, verdict))
    else:
        show(report, verdict)
        click.secho(f"\nThe page: {path}", dim=True)
    if verdict is not None and not verdict.passed:
        raise click.exceptions.Exit(1)


def as_data(report: Report, verdict: Verdict | None = None) -> dict[str, Any]:
    """The report as plain data. Shares are between 0 and 1, costs in nano-USD, times in milliseconds."""
    data = asdict(report)
    if verdict is not None:
        data["gate"] = {**asdict(verdict), "passed": verdict.passed}
    return data


def show(report: Report, verdict: Verdict | None = None) -> None:
    """Tables and one sentence for people."""
    from trivet.evaluation import wording

    for part in report.parts:
        show_part(part)
    click.secho(f"\n{wording.sentence(report.parts[0])}", bold=True)
    if verdict is None:
        return
    click.echo()
    for check in verdict.checks:
        click.secho(f"{'holds' if check.passed else 'FAILS'}  {check.name}: {check.found}", fg=_colour(check.passed))
    if verdict.advice:
        click.echo(verdict.advice)
    said = "passes" if verdict.passed else "does not pass"
    click.secho(f"{verdict.candidate} {said} the gate.", bold=True, fg=_colour(verdict.passed))


def show_part(part: PartReport) -> None:
    """One part's tables and remarks."""
    from trivet.evaluation import wording

    title = "General questions" if part.name == "general" else "Questions"
    judged = ", ".join(part.correct)
    click.secho(f"\n{title}: n = {part.n}; correct = all that applies of {judged}", bold=True)
    tables = (
        ("Shares in percent, [95% interval]", wording.cells(part, wording.QUALITY_COLUMNS)),
        (f"Against {part.baseline}: points, [95% interval], McNemar's exact test", wording.comparisons(part)),
        ("Each request: medians, means, millionths of a dollar", wording.cells(part, wording.COST_COLUMNS)),
    )
    for title, (headers, rows) in tables:
        if rows:
            click.secho(f"\n{title}", dim=True)
            print_table(headers, rows)
    remarks = wording.remarks(part)
    if remarks:
        click.echo()
    for remark in remarks:
        click.echo(f"  {remark}")


def _colour(passed: bool) -> str:
    return "green" if passed else "red"
