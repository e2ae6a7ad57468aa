"""`trivet drift`: what the gateway knows of changed questions, and a route's weeks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from trivet.api.v1 import interaction_pb2
from trivet.cli.console.output import print_json, print_table
from trivet.cli.drift.weeks import Week, weeks_of
from trivet.cli.options.config import data_folder_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target
from trivet.costs.log_files import open_log
from trivet.costs.reading import Counts, entries
from trivet.errors import FailedPrecondition
from trivet.excerpt import quote

_MOST_BYTES = 1 << 20  # of a status file
_SHOWN = 200  # characters of a question


@click.command(short_help="Tell whether routes are asked other questions.")
@click.argument("route", required=False)
@click.option("--weeks", type=click.IntRange(1, 520), help="Show so many weeks of ROUTE: low confidence, accuracy.")
@click.option("--questions", is_flag=True, help="Show questions of what is new in ROUTE, from the interaction log.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_folder_options
@target_options("operators")
def drift(target: Target, data_dir: Path, route: str | None, weeks: int | None, questions: bool, as_json: bool) -> None:
    """Show, for each route that is watched, how much speaks against "nothing has changed": 20 and more is an alarm.

    It reads the data folder of the gateway. --questions, and the accuracy of --weeks (answers rated good among those
    that were rated, with 95% intervals), come from the interaction log of a running server.

    \b
    Examples:
      trivet drift
      trivet drift support --weeks 8
      trivet drift support --questions
    """
    if route is None and (weeks is not None or questions):
        raise click.UsageError("--weeks and --questions are of one route: name it")
    statuses = dict(_statuses(data_dir / "drift"))
    if route is not None and weeks is None:
        statuses = {route: _status(statuses, route)}
    data: dict[str, Any] = {"routes": statuses}
    if route is not None and weeks is not None:
        data = {"weeks": [_week_data(week) for week in _weeks(data_dir, target, route, weeks)]}
    if route is not None and questions:
        data["questions"] = _questions(target, route, _status(statuses, route))
    if as_json:
        print_json(data)
    else:
        _show(data)


def _status(statuses: Mapping[str, Any], route: str) -> Any:
    if route not in statuses:
        told = "is not watched, or was asked nothing yet: a route is watched with drift: {}"
        raise FailedPrecondition(f"route {quote(route)} {told}")
    return statuses[route]


def _statuses(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        try:
            if path.stat().st_size <= _MOST_BYTES:
                yield path.stem, json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # it is being written anew, or not ours


def _weeks(data_dir: Path, target: Target, route: str, weeks: int) -> list[Week]:
    since = datetime.now(UTC) - timedelta(weeks=weeks)
    wanted = interaction_pb2.InteractionFilter(routes=[route], after=since, rated=True)
    with open_log(data_dir, since) as files, Client(target) as client:
        rated = client.interactions.export(wanted)
        return weeks_of(route, entries(files, Counts(), since=since), rated)


def _week_data(week: Week) -> dict[str, Any]:
    data: dict[str, Any] = {"week": week.begins.date().isoformat(), "requests": week.requests, "rated": week.rated}
    for name, share in (("low_confidence", week.low_share), ("accuracy", week.accuracy)):
        if share is not None:
            data[name] = {"share": share[0], **asdict(share[1])}
    return data


def _questions(target: Target, route: str, status: Any) -> list[dict[str, Any]]:
    """The first words of the questions of each new topic that the interaction log has."""
    wanted = {request for topic in status["new"] for request in topic["requests"]}
    found: dict[str, str] = {}
    if wanted:
        before = datetime.fromtimestamp(status["alarmed_at"], UTC)
        chosen = interaction_pb2.InteractionFilter(routes=[route], after=before - timedelta(days=30))
        with Client(target) as client:
            for kept in client.interactions.export(chosen):
                if kept.request_id in wanted:
                    found[kept.request_id] = _question(kept)
                if len(found) == len(wanted):
                    break
    return [
        {"share": topic["share"], "questions": [found[request] for request in topic["requests"] if request in found]}
        for topic in status["new"]
    ]


def _question(kept: interaction_pb2.Interaction) -> str:
    said = [message.content for message in kept.messages if message.role == "user"]
    text = " ".join(said[-1].split()) if said else ""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _show(data: Mapping[str, Any]) -> None:
    if routes := data.get("routes"):
        print_table(["route", "questions", "reference", "evidence", "alarms", "now"], map(_row, routes.items()))
    elif "routes" in data:
        click.echo("no route is watched: a route is with drift: {}", err=True)
    if "weeks" in data:
        columns = ["week", "requests", "low confidence %", "rated", "accuracy %"]
        print_table(columns, [_week_row(week) for week in data["weeks"]])
    for topic in data.get("questions", ()):
        click.echo(f"\n{100 * topic['share']:.0f}% of the questions before the alarm:")
        for question in topic["questions"] or ["(the interaction log has none of them)"]:
            click.echo(f"- {question}")


def _row(item: tuple[str, Any]) -> list[str]:
    route, status = item
    evidence = "-" if status["evidence"] is None else f"{status['evidence']:.3g}"
    reference = f"{status['collected']:,} of {status['reference']:,}"
    now = "retrain or re-index" if status["alarmed"] else "as before"
    return [route, f"{status['questions']:,}", reference, evidence, str(status["alarms"]), now]


def _week_row(week: Mapping[str, Any]) -> list[str]:
    def share(name: str) -> str:
        found = week.get(name)
        if found is None:
            return "-"
        return f"{100 * found['share']:.1f} [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"

    return [week["week"], str(week["requests"]), share("low_confidence"), str(week["rated"]), share("accuracy")]
