"""What operators change by hand. Each change says why; the audit log keeps it with who made it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from trivet.api.v1 import rollout_pb2
from trivet.cli.console.output import plain, print_json
from trivet.cli.options.target import target_options
from trivet.cli.rollout.wording import facts, headline
from trivet.client import Client, Target
from trivet.client.rollouts import Rollouts


def change_options(command: Callable[..., rollout_pb2.Rollout]) -> Callable[..., None]:
    """Add ROUTE, --reason, --actor, --revision, --json and the server's options; the command gets the `rollouts`.

    It returns the rollout as it is then, which is printed.
    """

    @click.argument("route")
    @click.option("--reason", callback=_reason, help="Why; kept in the audit log. Asked for in a terminal.")
    @click.option("--actor", default="", help="For whom you act; default: the key's own name alone.")
    @click.option(
        "--revision", type=click.IntRange(0), help="Change nothing if the rollout is at another revision by now."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the rollout as JSON.")
    @target_options("operators")
    @wraps(command)
    def with_rollouts(target: Target, as_json: bool, **options: Any) -> None:
        with Client(target) as client:
            changed = command(client.rollouts, **options)
        if as_json:
            print_json(plain(changed))
            return
        click.echo(headline(changed))
        told = dict(facts(changed))
        if "waits for" in told:
            click.echo(f"waits for: {told['waits for']}")

    return with_rollouts


def _reason(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    if value is None and not context.resilient_parsing and sys.stdin.isatty():
        value = click.prompt("Why")
    if not value or not value.strip():
        raise click.UsageError("--reason is needed: the audit log keeps why a rollout was changed.", context)
    return value.strip()


@click.command(short_help="Start the rollout that the configuration describes.")
@click.option("--restart", is_flag=True, help="Start although this spec ran before: new salt, no statistics.")
@change_options
def start(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """Start the rollout that the configuration describes for ROUTE.

    The candidate is made warm on every gateway first; then the first step gives it its share of the units.

    \b
    Examples:
      trivet rollout start tickets --reason "sorter 2 passed the evaluation gate"
      trivet rollout start tickets --reason "the cause of the rollback is fixed" --restart
    """
    return rollouts.start(route, **change)


@click.command(short_help="Go to the next step now.")
@change_options
def advance(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """Go to the next step of ROUTE's rollout now, whatever the data say.

    A guardrail that is crossed still rolls back.

    \b
    Examples:
      trivet rollout advance tickets --reason "the smoke step has seen enough"
    """
    return rollouts.advance(route, **change)


@click.command(short_help="Agree to the step that a rollout waits for.")
@change_options
def approve(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """Agree to the step or the promotion that ROUTE's rollout waits for.

    With --revision you agree to what you have seen, and to nothing that came after it.

    \b
    Examples:
      trivet rollout approve tickets --reason "looked at 20 answers" --actor dana
      trivet rollout approve tickets --reason "looked at 20 answers" --revision 14
    """
    return rollouts.approve(route, **change)


@click.command(short_help="Let a rollout go on after a halt.")
@change_options
def resume(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """Let ROUTE's rollout go on after a halt.

    The candidate is made warm again, and the step goes on with the statistics that it has.

    \b
    Examples:
      trivet rollout resume tickets --reason "traffic is back"
    """
    return rollouts.resume(route, **change)


@click.command(short_help="Give all units to the candidate now.")
@change_options
def promote(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """Give all units of ROUTE to the candidate now, whatever the data say.

    The soak begins: the stable variant stays loaded, and a candidate that turns bad is still rolled back.

    \b
    Examples:
      trivet rollout promote tickets --reason "urgent fix, reviewed by two people"
    """
    return rollouts.promote(route, **change)


@click.command(short_help="Give all units back to the stable variant.")
@change_options
def rollback(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """Give all units of ROUTE back to the stable variant, at once and on every gateway.

    While the state store is away, the gateway that is asked rolls back alone, and tells the store when it is back: ask
    each gateway then.

    \b
    Examples:
      trivet rollout rollback tickets --reason "customers report wrong queues"
    """
    return rollouts.rollback(route, **change)


@click.command(short_help="End a rollout without a verdict.")
@change_options
def cancel(rollouts: Rollouts, route: str, **change: Any) -> rollout_pb2.Rollout:
    """End ROUTE's rollout without a verdict: all units have the stable variant.

    \b
    Examples:
      trivet rollout cancel tickets --reason "superseded by sorter 3"
    """
    return rollouts.cancel(route, **change)


CHANGES = (start, advance, approve, resume, promote, rollback, cancel)
