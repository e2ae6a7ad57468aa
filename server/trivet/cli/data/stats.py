"""`trivet data stats`: how much there is."""

from __future__ import annotations

import click

from trivet.api.v1 import interaction_pb2
from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.data.filters import filter_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target


@click.command(short_help="Count what is kept.")
@filter_options
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@target_options("operators")
def stats(target: Target, wanted: interaction_pb2.InteractionFilter, as_json: bool) -> None:
    """Count what the interaction log keeps of the key's tenant, by route and variant.

    \b
    Examples:
      trivet data stats
      trivet data stats --route support --since 7d --json
    """
    with Client(target) as client:
        counts = client.interactions.count(wanted)
    if as_json:
        print_json([plain(count) for count in counts])
        return
    if not counts:
        click.echo("nothing is kept: a route keeps its answers with interactions: {share: 1}", err=True)
        return
    columns = ["route", "variant", "kept", "rated", "corrected", "mean score", "oldest", "newest"]
    print_table(columns, map(_row, counts))


def _row(count: interaction_pb2.InteractionCount) -> list[str]:
    score = f"{count.mean_score:.2f}" if count.HasField("mean_score") else "-"
    oldest, newest = (time.ToDatetime().isoformat(" ", "minutes") for time in (count.oldest, count.newest))
    numbers = (f"{number:,}" for number in (count.stored, count.rated, count.corrected))
    return [count.route, count.variant, *numbers, score, oldest, newest]
