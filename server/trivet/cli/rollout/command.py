"""`trivet rollout`: where a route's rollout is, and changes by hand."""

from __future__ import annotations

import json

import click

from trivet.api.v1 import rollout_pb2
from trivet.cli.console.interrupts import interrupted
from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.options.target import target_options
from trivet.cli.rollout.changes import CHANGES
from trivet.cli.rollout.report.command import report
from trivet.cli.rollout.wording import (
    ENDED,
    GATEWAY_COLUMNS,
    GUARDRAIL_COLUMNS,
    facts,
    gateway_rows,
    guardrail_rows,
    headline,
    moment,
    percent,
    state_name,
)
from trivet.client import Client, Target

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(short_help="Move a route from one variant to another in steps.")
def rollout() -> None:
    """Rollouts: from a route's stable variant to a candidate, step by step, judged by data.

    The configuration says what is rolled out and how it is judged; these commands show it and change it by hand.

    \b
    Examples:
      trivet rollout ls
      trivet rollout start tickets --reason "sorter 2 passed the evaluation gate"
      trivet rollout watch tickets
      trivet rollout rollback tickets --reason "customers report wrong queues"
      trivet rollout report tickets --html tickets.html
    """


@rollout.command("ls", short_help="List rollouts.")
@click.argument("route", default="")
@json_option
@target_options("operators")
def list_rollouts(target: Target, route: str, as_json: bool) -> None:
    """List the newest rollout of each route, or the latest ones of ROUTE.

    \b
    Examples:
      trivet rollout ls
      trivet rollout ls tickets --json
    """
    with Client(target) as client:
        found = client.rollouts.list(route)
    if as_json:
        print_json([plain(one) for one in found])
        return
    columns = ("route", "stable", "candidate", "state", "share", "revision", "since", "id")
    rows = [
        (one.route, one.spec.stable, one.spec.candidate, state_name(one), percent(one.share), one.revision,
         moment(one.changed_at), one.id)
        for one in found
    ]  # fmt: skip
    print_table(columns, rows)


@rollout.command(short_help="Show where a rollout is and what it waits for.")
@click.argument("route")
@json_option
@target_options("operators")
def status(target: Target, route: str, as_json: bool) -> None:
    """Show where ROUTE's rollout is, what it waits for, and what each guardrail and each gateway says.

    Rates are in percent and higher is worse; `beyond` is how far the candidate is beyond what it may be, in points,
    with bounds that hold however often one looks.

    \b
    Examples:
      trivet rollout status tickets
      trivet rollout status tickets --json | jq .look.reason
    """
    with Client(target) as client:
        found = client.rollouts.get(route)
    if as_json:
        print_json(plain(found))
        return
    print_status(found)


def print_status(found: rollout_pb2.Rollout) -> None:
    """A headline, facts, a line a guardrail, a line a gateway."""
    click.echo(headline(found))
    for name, value in facts(found):
        click.echo(f"  {name + ':':13}{value}")
    if found.look.estimates:
        click.echo("")
        print_table(GUARDRAIL_COLUMNS, guardrail_rows(found.look))
    if found.gateways:
        click.echo("")
        print_table(GATEWAY_COLUMNS, gateway_rows(found))


@rollout.command(short_help="Follow a rollout until it ends.")
@click.argument("route")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for each change and each look.")
@target_options("operators")
def watch(target: Target, route: str, as_json: bool) -> None:
    """Follow ROUTE's rollout until it ends: a line for each change of its state or of what it waits for.

    The exit code is 0 if the candidate was promoted, and 1 if it was rolled back or the rollout cancelled.

    \b
    Examples:
      trivet rollout watch tickets
      trivet rollout watch tickets --json | jq -c .look.message
    """
    said: tuple[int, str] | None = None
    with interrupted("the rollout goes on"), Client(target) as client:
        for found in client.rollouts.watch(route):
            if as_json:
                click.echo(json.dumps(plain(found), ensure_ascii=False))
            elif (found.revision, found.look.reason) != said:
                said = (found.revision, found.look.reason)
                click.echo(_line(found))
            if found.state in ENDED:
                promoted = found.state == rollout_pb2.ROLLOUT_STATE_PROMOTED
                raise click.exceptions.Exit(0 if promoted else 1)


def _line(found: rollout_pb2.Rollout) -> str:
    told = dict(facts(found))
    why = found.last_transition.message if found.state in ENDED else told.get("waits for", "")
    return f"{moment(found.changed_at)}  {state_name(found)}  {percent(found.share)}  {why}".rstrip()


for change in (*CHANGES, report):
    rollout.add_command(change)
