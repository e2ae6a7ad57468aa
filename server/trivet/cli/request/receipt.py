"""`trivet receipt`: the account of an earlier request."""

from __future__ import annotations

import click

from trivet.cli.console.output import plain, print_json
from trivet.cli.options.target import target_options
from trivet.client import Client, Target


@click.command(short_help="Show what served a request, and what it cost.")
@click.argument("request_id")
@click.option("--json", "as_json", is_flag=True, help="Print the receipt as a JSON object.")
@target_options("clients")
def receipt(target: Target, request_id: str, as_json: bool) -> None:
    """Show the receipt of the request REQUEST_ID: what served it, its tokens, times and cost.

    The id is in each response's receipt and in the trailing metadata `x-request-id`. A server keeps its latest receipts
    at hand; the request log in its data folder (receipts.jsonl and its numbered files) has more of them.

    \b
    Examples:
      trivet receipt 2f6c9b0e8d1a4b57a3f0c2d4e6b81937
      trivet receipt 2f6c9b0e8d1a4b57a3f0c2d4e6b81937 --json | jq .cost
    """
    with Client(target) as client:
        found = plain(client.get_receipt(request_id).receipt)
    if as_json:
        print_json(found)
        return
    width = max(map(len, found))
    for name, value in found.items():
        if isinstance(value, dict):
            basis = value.pop("basis", "")
            parts = ", ".join(f"{part} {amount:,}" for part, amount in value.items())
            value = f"{parts} (billionths of a dollar, by {basis})" if parts else ""
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, float):
            value = f"{value:.1f}" if name.endswith("_ms") else f"{value:.3f}"
        if value != "":
            click.echo(f"{name:{width}}  {value}")
