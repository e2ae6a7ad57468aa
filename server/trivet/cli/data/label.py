"""`trivet data label`: answers one by one, to be rated and corrected; or ratings that another tool made."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from trivet.api.v1 import interaction_pb2
from trivet.cli.data.desk import Desk
from trivet.cli.data.filters import filter_options
from trivet.cli.data.ratings import Rating, read_ratings
from trivet.cli.options.target import target_options
from trivet.client import CallFailed, Client, Target
from trivet.datasets.pages import unseen

_OF_THE_RATING = {"NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION"}  # others are the server's, and end the batch


@click.command(short_help="Rate and correct answers.")
@filter_options
@click.option("--again", is_flag=True, help="Show those that somebody rated already, too.")
@click.option(
    "--json", "batch", is_flag=True, help="Read ratings as JSON lines instead, and print what became of each."
)
@target_options("clients", "operators")
def label(target: Target, wanted: interaction_pb2.InteractionFilter, again: bool, batch: bool) -> None:
    """Show the answers that nobody rated yet, oldest first, and take a key for each.

    \b
      g good    b bad    c correct it, in a line    e correct it, in $EDITOR
      l label   s skip   u back to the one before   q quit

    Each rating is given as feedback at once, and durable when the next answer is shown: stopped in whatever way, the
    same command goes on with what is left. Which variant answered is not shown, so that it cannot sway anybody. The key
    has to be an operator's: it reads and rates for its tenant.

    With --json, standard input has one object a line: request_id, and score, label, corrected_text or comment.
    A line that was recorded before may be given again.

    \b
    Examples:
      trivet data label --route support --since 7d
      trivet data label --json  # takes ratings from standard input
    """
    with Client(target) as client:
        if batch:
            _take(client)
            return

        def fetch(part: interaction_pb2.InteractionFilter, limit: int) -> list[interaction_pb2.Interaction]:
            return list(client.interactions.export(part, limit))

        shown = (one for one in unseen(fetch, wanted) if again or not one.HasField("rating"))
        rated = Desk(shown, _giver(client)).work()
    click.echo(f"{rated:,} rated", err=True)


def _giver(client: Client) -> Callable[[Rating], None]:
    def give(rating: Rating) -> None:
        client.submit_feedback(rating.request_id, **rating.said())

    return give


def _take(client: Client) -> None:
    failed = False
    for told in _recorded(client):
        failed = failed or not told["recorded"]
        click.echo(json.dumps(told, ensure_ascii=False))
    if failed:
        raise click.exceptions.Exit(1)


def _recorded(client: Client) -> Iterator[dict[str, Any]]:
    for number, rating in read_ratings(sys.stdin.buffer):
        if isinstance(rating, str):
            yield {"line": number, "recorded": False, "error": rating}
            continue
        about = {"line": number, "request_id": rating.request_id}
        try:
            client.submit_feedback(rating.request_id, **rating.said())
        except CallFailed as error:
            if error.code not in _OF_THE_RATING:
                raise
            yield {**about, "recorded": False, "error": str(error)}
        else:
            yield {**about, "recorded": True}
