"""`trivet cost`: sums of the request log by what its requests have in common."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

from trivet.cli.console.bars import bars
from trivet.cli.console.output import print_json
from trivet.cli.cost.breakeven import breakeven
from trivet.cli.cost.report import CostReport, as_csv, as_data, as_focus, as_page, print_report
from trivet.cli.options.config import LoadConfig, config_options
from trivet.cli.options.times import Time
from trivet.costs.focus import BY as FOCUS_BY
from trivet.costs.groups import DIMENSIONS, MOST_GROUPS, Groups
from trivet.costs.log_files import open_log
from trivet.costs.reading import Counts, entries
from trivet.errors import InvalidRequest

_DEFAULT_BY = "route,variant"
_MOST_DIMENSIONS = 6
_KNOWN = ", ".join(DIMENSIONS)


@click.group(invoke_without_command=True, short_help="Show what requests cost, by what served them.")
@click.option("--by", metavar="NAMES", help=f"Group by these, with commas: {_KNOWN}, label:NAME ({_DEFAULT_BY}).")
@click.option("--since", type=Time(), help="Requests that arrived from then on: 2026-11-30, 2026-11-30T18:00, 7d.")
@click.option("--until", type=Time(), help="Requests that arrived before then.")
@click.option("--top", type=click.IntRange(1, MOST_GROUPS), help="Show the dearest groups, and all others as one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; amounts in nano-USD (1e-9 USD), exact.")
@click.option("--csv", "csv_", is_flag=True, help="Print CSV.")
@click.option("--focus", is_flag=True, help="Print CSV in the columns of FOCUS 1.2: one row per day and component.")
@click.option("--account", default="trivet", show_default=True, help="With --focus: who pays (BillingAccountId).")
@click.option("--provider", default="Trivet", show_default=True, help="With --focus: who runs the service.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with a plot to this file.")
@config_options
@click.pass_context
def cost(
    context: click.Context,
    load: LoadConfig,
    by: str | None,
    since: datetime | None,
    until: datetime | None,
    top: int | None,
    as_json: bool,
    csv_: bool,
    focus: bool,
    account: str,
    provider: str,
    html: Path | None,
) -> None:
    """Sum up what the requests in a data folder cost, by route and variant or by whatever --by names.

    It reads the request log (receipts.jsonl and its rotated files): no server is needed, and one that runs is not
    disturbed. Amounts are exact, and groups add up to the log. Requests without a price are counted, not guessed.

    \b
    Examples:
      trivet cost
      trivet cost --by tenant --since 2026-11-01 --until 2026-12-01
      trivet cost --by day,adapter --since 7d --html costs.html
      trivet cost --by label:team --json | jq .groups
      trivet cost --focus --since 2026-11-01 --until 2026-12-01 > focus.csv
    """
    if context.invoked_subcommand is not None:
        if any((by, since, until, top, as_json, csv_, focus, html)):
            raise click.UsageError(f"options before {context.invoked_subcommand} would have no effect")
        return
    if sum((as_json, csv_, focus)) > 1:
        raise click.UsageError("expected one of --json, --csv and --focus")
    if focus and (by is not None or top is not None):
        raise click.UsageError("--focus has groups of its own: leave out --by and --top")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since is not before --until")
    groups = Groups(FOCUS_BY) if focus else _groups(by or _DEFAULT_BY)
    data_dir = load.given_data_dir or load().data_dir
    report = CostReport(groups, read(data_dir, groups, since, until), since, until, top)
    if html is not None:
        html.write_text(as_page(report), encoding="utf-8")
    if as_json:
        print_json(as_data(report))
    elif csv_:
        click.echo(as_csv(report), nl=False)
    elif focus:
        click.echo(as_focus(report, account, provider), nl=False)
    else:
        print_report(report)
    if report.counts.damaged and not as_json:
        click.echo(f"{report.counts.damaged:,} damaged lines of the log are not part of this.", err=True)


def _groups(by: str) -> Groups:
    names = list(dict.fromkeys(name.strip() for name in by.split(",") if name.strip()))
    if not 1 <= len(names) <= _MOST_DIMENSIONS:
        raise click.UsageError(f"--by: expected 1 to {_MOST_DIMENSIONS} names, got {len(names)}")
    try:
        return Groups(names)
    except InvalidRequest as error:
        raise click.UsageError(f"--by: {error.fields['by']}") from error


def read(data_dir: Path, groups: Groups, since: datetime | None, until: datetime | None) -> Counts:
    """Sum up the log of a data folder, with a bar where it is long."""
    counts = Counts()
    columns = (TextColumn("request log"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with open_log(data_dir, since) as files, bars(*columns) as bar:
        task = bar.add_task("", total=sum(file.size for file in files))
        for entry in entries(files, counts, since=since, until=until, progress=lambda size: bar.advance(task, size)):
            groups.add(entry)
    return counts


cost.add_command(breakeven)
