"""`trivet eval`: what each leg is worth, and the gate that a change has to pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import print_json
from trivet.cli.evaluation.showing import as_data, show
from trivet.cli.options.config import config_options
from trivet.cli.options.target import target_options
from trivet.client import Target
from trivet.config import Config

if TYPE_CHECKING:
    from trivet.evaluation.gate import Verdict
    from trivet.evaluation.report import Report

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
    from trivet.evaluation.runner import Pace

    _require_a_gate_that_can_judge(gate, candidate, no_general)
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
    _tell(report, verdict, html or evaluation.folder / "report.html", as_json=as_json)
    if verdict is not None and not verdict.passed:
        raise click.exceptions.Exit(1)


def _require_a_gate_that_can_judge(gate: bool, candidate: str | None, no_general: bool) -> None:
    if gate != (candidate is not None):
        raise click.UsageError("--gate and --candidate belong together")
    if gate and no_general:
        raise click.UsageError("--gate has to see the general part, expected no --no-general")


def _tell(report: Report, verdict: Verdict | None, path: Path, *, as_json: bool) -> None:
    """Write the page to `path`, and print the plain data, or tables for people."""
    from trivet.evaluation.page import page

    path.write_text(page(report, verdict), encoding="utf-8")
    if as_json:
        print_json(as_data(report, verdict))
    else:
        show(report, verdict)
        click.secho(f"\nThe page: {path}", dim=True)
