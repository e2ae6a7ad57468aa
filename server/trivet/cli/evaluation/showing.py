"""What an evaluation found, for people and as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.console.output import print_table

if TYPE_CHECKING:
    from trivet.evaluation.gate import Check, Verdict
    from trivet.evaluation.report import PartReport, Report


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
    show_checks(verdict.checks)
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


def show_checks(checks: Iterable[Check]) -> None:
    """Whether each holds, and what was found."""
    for check in checks:
        click.secho(f"{'holds' if check.passed else 'FAILS'}  {check.name}: {check.found}", fg=_colour(check.passed))


def _colour(passed: bool) -> str:
    return "green" if passed else "red"
