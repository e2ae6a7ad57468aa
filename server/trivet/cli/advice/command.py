"""`trivet advise`: which of prompt, index and adapter a route should use, and what the evidence is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trivet.api.v1 import interaction_pb2
from trivet.cli.console.output import print_json, print_table
from trivet.cli.options.config import config_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target
from trivet.config import Config
from trivet.errors import FailedPrecondition

if TYPE_CHECKING:
    from trivet.advice.evidence import Evidence
    from trivet.advice.result import Advice

PERCENT = 100.0


@click.command(short_help="Say which leg a route should use, and why.")
@click.argument("name", metavar="ROUTE|SUITE")
@click.option("--suite", default="", help="The suite whose questions are asked, if NAME is a route of another name.")
@click.option("--route", default="", help="The route whose traffic counts, if NAME is a suite of another name.")
@click.option("--current", default="", help="The arm that serves today; default: the route's variant, or the baseline.")
@click.option(
    "--target",
    "enough",
    type=click.FloatRange(1, 100),
    default=90.0,
    show_default=True,
    help="Percent right that are enough.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0.1, 50),
    default=3.0,
    show_default=True,
    help="Percentage points that a change has to bring.",
)
@click.option("--latency-ms", type=click.FloatRange(1), help="Budget for the time to the first token.")
@click.option("--audit", is_flag=True, help="Each answer must be traceable to instructions and documents.")
@click.option("--examples", type=click.IntRange(0), default=0, help="Labelled examples that a training could use.")
@click.option(
    "--count-examples",
    is_flag=True,
    help="Count what people rated or corrected of the route's answers, in a running server's interaction log.",
)
@click.option("--training-usd", type=click.FloatRange(0), default=0.0, help="What one training costs.")
@click.option("--requests-per-month", type=click.FloatRange(0), help="Instead of what the request log says.")
@click.option("--changes-per-month", type=click.FloatRange(0), help="Of documents, instead of what their log says.")
@click.option("--limit", type=click.IntRange(1), help="Ask only the first N questions.")
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Requests in flight at a time."
)
@click.option("--no-ask", is_flag=True, help="Ask nothing: use the answers that evaluations have kept.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="File to write a page to.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
@target_options("operators")
def advise(
    load: Callable[[], Config],
    target: Target,
    name: str,
    suite: str,
    route: str,
    current: str,
    enough: float,
    margin: float,
    latency_ms: float | None,
    audit: bool,
    examples: int,
    count_examples: bool,
    training_usd: float,
    requests_per_month: float | None,
    changes_per_month: float | None,
    limit: int | None,
    concurrency: int,
    no_ask: bool,
    html: Path | None,
    as_json: bool,
) -> None:
    """Say whether a route should keep what it has, add retrieval, put its documents into the prefix, train or distil an
    adapter, or combine them, with the evidence of each step; or that there is too little evidence, and what is missing.

    It evaluates the suite's arms, and those that are missing, as `trivet eval` does (answers that are kept are not
    asked again), and reads the route's request log, the document log, the prompts and the prices of the project. NAME
    is a suite, a route, or both of the same name.

    \b
    Examples:
      trivet advise tickets --examples 1200 --training-usd 2
      trivet advise support-json --suite handbook --latency-ms 300
      trivet advise tickets --count-examples --admin-address 127.0.0.1:7601
      trivet advise handbook --no-ask --json | jq .action
      trivet advise handbook --requests-per-month 2000000 --html advice.html
    """
    from trivet.advice.evidence import Wishes  # here, because others start faster without
    from trivet.advice.procedure import advise as advise_on
    from trivet.cli.advice.gathering import AdviceOptions, Gathering

    config = load()
    where, about = _questions(config, name, suite, route)
    if count_examples:
        examples += _counted(target, about)
    options = AdviceOptions(
        wishes=Wishes(enough / PERCENT, margin / PERCENT, latency_ms, audit),
        route=about,
        current=current,
        ask=not no_ask,
        limit=limit,
        concurrency=concurrency,
        examples=examples,
        training_usd=training_usd,
        requests_per_month=requests_per_month,
        changes_per_month=changes_per_month,
    )
    evidence = Gathering(config, where, options).evidence()
    _tell(name, evidence, advise_on(evidence), html, as_json=as_json)


def _counted(target: Target, route: str) -> int:
    if not route:
        raise click.UsageError("--count-examples needs a route: its name as NAME, or --route")
    return rated(target, route)


def rated(target: Target, route: str) -> int:
    """How many interactions of a route somebody rated or corrected, by the log of a running server."""
    with Client(target) as client:
        wanted = interaction_pb2.InteractionFilter(routes=[route], rated=True)
        return sum(count.stored for count in client.interactions.count(wanted))


def _questions(config: Config, name: str, suite: str, route: str) -> tuple[Path, str]:
    """The suite's file, and the name of the route, if there is one."""
    from trivet.cli.evaluation.run import find_suite

    named = name if name in config.routes else ""
    try:
        found = find_suite(suite or name)
    except FailedPrecondition as error:
        if named and not suite:
            told = f"route {name!r} has no suite of its name: --suite says whose questions are asked"
            raise FailedPrecondition(told) from error
        raise
    return found, route or named


def _tell(name: str, evidence: Evidence, advice: Advice, html: Path | None, *, as_json: bool) -> None:
    """The page, if one is wanted, and either the plain data or sentences and a table for people."""
    from trivet.advice import wording
    from trivet.advice.page import page

    if html is not None:
        html.write_text(page(name, evidence, advice), encoding="utf-8")
    if as_json:
        print_json(wording.as_data(advice))
        return
    click.secho(wording.headline(advice), bold=True)
    for line in wording.lines(advice):
        click.echo(line)
    click.echo()
    print_table(*wording.steps(advice))
    if turns := wording.turns(advice):
        click.echo("\nWhat would change it:")
        for turn in turns:
            click.echo(f"- {turn}")
