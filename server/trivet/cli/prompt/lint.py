"""`trivet prompt lint`: what a reviewer would object to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from trivet.cli.console.output import print_json, print_table
from trivet.cli.options.config import config_options
from trivet.config import Config
from trivet.prompts.review.rules import RULES, Finding, Severity

if TYPE_CHECKING:
    from trivet.app.project import PromptReview

COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@click.command(short_help="Review prompt files.")
@click.argument("names", nargs=-1, metavar="[PROMPT|PROMPT@VERSION]...")
@click.option("--ignore", "ignored", multiple=True, type=click.Choice(sorted(RULES)), help="Leave out a rule.")
@click.option("--strict", is_flag=True, help="Fail for warnings too.")
@click.option("--rules", "show_rules", is_flag=True, help="List the rules, and look at nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list: one object for each prompt.")
@config_options
def lint(
    load: Callable[[], Config],
    names: tuple[str, ...],
    ignored: tuple[str, ...],
    strict: bool,
    show_rules: bool,
    as_json: bool,
) -> None:
    """Review prompt files without a server: all of them, or those that are named.

    It looks for what costs cache (variables before static text), for what must not be in a prompt (secrets, people's
    data, invisible characters, strangers' text among the instructions), for examples that contradict each other or the
    variant's JSON schema, and for instructions that are missing or stand there twice. Rules that serve OWASP's Top 10
    for LLM applications carry its number. Only files are looked at: a prompt without findings may still be bad.

    The exit code is 1 if there are errors, or warnings with --strict, and 0 otherwise.

    \b
    Examples:
      trivet prompt lint
      trivet prompt lint support support-json@2 --strict
      trivet prompt lint --ignore no-way-out --json
      trivet prompt lint --rules
    """
    if show_rules:
        _show_rules(as_json)
        return
    from trivet.app.project import PromptReviewer  # here, because other commands need no tokenizer

    reviews = PromptReviewer(load(), ignored).reviews(names)
    if as_json:
        print_json([review_data(review) for review in reviews])
    else:
        _tell(reviews)
    worst = max((finding.severity for review in reviews for finding in review.findings), default=Severity.NOTE)
    if worst >= (Severity.WARNING if strict else Severity.ERROR):
        raise click.exceptions.Exit(1)


def review_data(review: PromptReview) -> dict[str, Any]:
    """A review for `--json`."""
    sizes = [{**asdict(size), "blocks": size.blocks, "cached": size.cached} for size in review.sizes]
    return {**asdict(review), "sizes": sizes, "findings": [finding_data(finding) for finding in review.findings]}


def finding_data(finding: Finding) -> dict[str, Any]:
    """A finding for `--json`."""
    return {**asdict(finding), "severity": finding.severity.name.lower(), "owasp": finding.owasp or None}


def finding_line(path: str, finding: Finding) -> str:
    """A finding for people: file, line, how bad, what."""
    owasp = f", OWASP {finding.owasp}" if finding.owasp else ""
    severity = click.style(finding.severity.name.lower(), fg=COLORS[finding.severity])
    return f"{path}:{finding.line}: {severity}: {finding.text} [{finding.rule}{owasp}]"


def _tell(reviews: Sequence[PromptReview]) -> None:
    counts = dict.fromkeys(Severity, 0)
    for review in reviews:
        for finding in review.findings:
            counts[finding.severity] += 1
            click.echo(finding_line(review.path, finding))
    told = ", ".join(f"{counts[severity]} {severity.name.lower()}s" for severity in sorted(Severity, reverse=True))
    click.echo(f"{len(reviews)} prompt versions: {told}", err=True)


def _show_rules(as_json: bool) -> None:
    if as_json:
        print_json([{**asdict(rule), "severity": rule.severity.name.lower()} for rule in RULES.values()])
        return
    rows = [(rule.name, rule.severity.name.lower(), rule.owasp, rule.summary) for rule in RULES.values()]
    print_table(["rule", "severity", "owasp", "finds"], rows)
