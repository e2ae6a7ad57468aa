"""A report of costs: as a table, as data, as CSV, as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from trivet.cli.console.output import print_table
from trivet.costs.focus import COLUMNS, rows
from trivet.costs.groups import Group, Groups, Sums
from trivet.costs.money import NANO, usd, usd_each
from trivet.costs.plot import STYLE, bar_plot
from trivet.costs.reading import Counts
from trivet.html_page import html_page, html_table

_COUNTS = ("requests", "failed", "unpriced", "input_tokens", "cached_tokens", "output_tokens")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MOST_BARS = 40


@dataclass(frozen=True, slots=True)
class CostReport:
    """Sums by group, and what they were made of. `top`: how many groups are shown, the rest as one."""

    groups: Groups
    counts: Counts
    since: datetime | None
    until: datetime | None
    top: int | None

    @property
    def shown(self) -> list[tuple[Group, Sums]]:
        """The groups, in their order."""
        return self.groups.ordered(self.top)


def as_data(report: CostReport) -> dict[str, Any]:
    """For JSON."""
    counts = report.counts
    return {
        "since": None if report.since is None else report.since.isoformat(),
        "until": None if report.until is None else report.until.isoformat(),
        "by": list(report.groups.by),
        "groups": [
            {"group": dict(zip(report.groups.by, group, strict=True)), **_sums(sums)} for group, sums in report.shown
        ],
        "total": _sums(report.groups.total),
        "log": {
            "files": counts.files,
            "lines": counts.read,
            "damaged_lines": counts.damaged,
            "outside_of_the_time": counts.outside,
            "statements": counts.statements,
        },
        "machines": {
            name: {
                account: {"seconds": sums.nanoseconds[account] / NANO, "nano_usd": nano, "usd": usd(nano)}
                for account, nano in sums.nano_usd.items()
            }
            for name, sums in counts.machines.sums.items()
        },
    }


def _sums(sums: Sums) -> dict[str, Any]:
    priced = sums.requests - sums.unpriced
    data: dict[str, Any] = {name: getattr(sums, name) for name in _COUNTS}
    if priced:
        data["cost"] = {**dict(sorted(sums.cost.items())), "total": sums.total}
        data["usd"] = usd(sums.total)
    return data


def as_csv(report: CostReport) -> str:
    """One line per group; amounts in nano-USD."""
    components = sorted(report.groups.total.cost)
    lines: list[Sequence[object]] = [
        [*report.groups.by, *_COUNTS, *(f"{name}_nano_usd" for name in components), "total_nano_usd", "usd"]
    ]
    for group, sums in report.shown:
        amounts: list[object] = [str(sums.cost[name]) if name in sums.cost else "" for name in components]
        priced = sums.requests > sums.unpriced
        total: list[object] = [sums.total, usd(sums.total)] if priced else ["", ""]
        lines.append([*map(_cell, group), *(getattr(sums, name) for name in _COUNTS), *amounts, *total])
    return _csv(lines)


def as_focus(report: CostReport, account: str, provider: str) -> str:
    """The rows of FOCUS."""
    try:
        found = list(rows(report.groups, account=account, provider=provider))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    return _csv([COLUMNS, *([_cell(row[name]) for name in COLUMNS] for row in found)])


def print_report(report: CostReport) -> None:
    """A table for people, its last row the sum of all others."""
    total = report.groups.total
    print_table(_headings(report), [*_cells(report), _cells_of(("total", *[""] * (len(report.groups.by) - 1)), total)])
    if total.unpriced:
        click.echo(f"\n{total.unpriced:,} of {total.requests:,} requests have no cost: no price, or not begun.")
    if report.counts.machines.sums:
        click.echo("\nWhat the machines cost, by what their time went to, in USD:\n")
        print_table(*_of_machines(report))


def _of_machines(report: CostReport) -> tuple[list[str], list[list[str]]]:
    machines = report.counts.machines.sums
    accounts = list(dict.fromkeys(account for sums in machines.values() for account in sums.nano_usd))
    rows = [
        [name, *(usd(sums.nano_usd[account]) for account in accounts), usd(sums.nano_usd.total())]
        for name, sums in machines.items()
    ]
    return ["machine", *accounts, "total"], rows


def as_page(report: CostReport) -> str:
    """A page with a plot of the dearest groups, and the table of all."""
    total, shown = report.groups.total, report.shown
    time = " ".join(
        f"{word} {at.strftime('%Y-%m-%d %H:%M')} UTC"
        for word, at in (("from", report.since), ("until", report.until))
        if at is not None
    )
    lead = f"{total.requests:,} requests {time or 'of the whole log'}: {usd(total.total)} USD"
    body = [
        f"<h1>Costs by {', '.join(map(_escape, report.groups.by))}</h1>",
        f'<p class="lead">{lead}</p>',
        bar_plot(shown[:_MOST_BARS]),
        html_table(_headings(report), [*_cells(report), _cells_of(("total",) * len(report.groups.by), total)]),
    ]
    if len(shown) > _MOST_BARS:
        body.append(f'<p class="soft">The plot shows {_MOST_BARS} of {len(shown):,} groups.</p>')
    if report.counts.damaged or total.unpriced:
        told = f"{total.unpriced:,} requests have no cost. {report.counts.damaged:,} damaged lines are left out."
        body.append(f'<p class="soft">{told}</p>')
    return html_page("Costs", "\n".join(body), STYLE)


def _headings(report: CostReport) -> list[str]:
    return [*report.groups.by, "requests", "failed", "input", "cached", "output", "USD", "USD/request"]


def _cells(report: CostReport) -> list[list[str]]:
    return [_cells_of(group, sums) for group, sums in report.shown]


def _cells_of(group: Group, sums: Sums) -> list[str]:
    counts = (sums.requests, sums.failed, sums.input_tokens, sums.cached_tokens, sums.output_tokens)
    priced = sums.requests - sums.unpriced
    money = (usd(sums.total), usd_each(sums.total, priced)) if priced else ("-", "-")
    return [*map(_printable, group), *(f"{count:,}" for count in counts), *money]


def _printable(text: str) -> str:
    """Labels are clients' texts: what would steer a terminal is shown escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _cell(text: str) -> str:
    """A text that spreadsheets would take for a formula is marked as text; a lone `-` stands for nothing."""
    return f"'{text}" if text.startswith(_FORMULA) and text != "-" else text


def _csv(lines: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()
