"""`trivet rollout report`: what became of a rollout, as a page or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from trivet.api.v1 import rollout_pb2
from trivet.cli.console.output import plain, print_json
from trivet.cli.options.target import target_options
from trivet.cli.rollout.report.history import Entry, History
from trivet.cli.rollout.report.page import page
from trivet.cli.rollout.report.replay import read_history
from trivet.client import Client, Target
from trivet.client.rollouts import Rollouts

_MOST_ROLLOUTS = 100


@click.command(short_help="Report a rollout, as a page or as JSON.")
@click.argument("route")
@click.option("--html", "html", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--id", "rollout_id", default="", help="An earlier rollout by its id (`trivet rollout ls ROUTE`).")
@target_options("operators")
def report(target: Target, route: str, html: Path | None, as_json: bool, rollout_id: str) -> None:
    """Report ROUTE's newest rollout: shares over time, each guardrail's estimate with its bounds, every decision.

    The page needs nothing else: no network, no script. Its numbers are those of the audit log; the curves between them
    are judged again from the observations, which the store keeps for a week after the rollout's end.

    \b
    Examples:
      trivet rollout report tickets --html tickets.html
      trivet rollout report tickets --json | jq .transitions
    """
    if html is None and not as_json:
        raise click.UsageError("expected --html FILE, --json, or both")
    with Client(target) as client:
        found = _find(client.rollouts, route, rollout_id)
        history = read_history(client.rollouts, found)
    if html is not None:
        html.write_text(page(history), encoding="utf-8")
        click.echo(f"{html}: {len(history.entries)} entries of the audit log", err=as_json)
    if as_json:
        print_json(_plain(history))


def _find(rollouts: Rollouts, route: str, rollout_id: str) -> rollout_pb2.Rollout:
    if not rollout_id:
        return rollouts.get(route)
    known = rollouts.list(route, limit=_MOST_ROLLOUTS)
    for one in known:
        if one.id == rollout_id:
            return one
    told = ", ".join(one.id for one in known) or "none"
    raise click.ClickException(f"no rollout {rollout_id!r} among the latest of route {route}; there are: {told}")


def _plain(history: History) -> dict[str, Any]:
    return {
        "rollout": plain(history.rollout),
        "transitions": [_entry(entry) for entry in history.entries],
        "looks": [asdict(look) for look in history.looks],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {**plain(entry.transition), "evidence": entry.told}
