"""`trivet fleet`: which engine nodes there are, and taking them out of service and back."""

from __future__ import annotations

import click

from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.options.target import target_options
from trivet.client import Client, Target

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
COLUMNS = ("backend", "address", "name", "state", "in_flight", "running", "waiting", "adapters", "problem")


@click.group(short_help="See and drain engine nodes.")
def fleet() -> None:
    """Engine nodes of backends of kind `remote`, as a running gateway sees them.

    \b
    Examples:
      trivet fleet ls
      trivet fleet drain 10.0.0.11:7610
      trivet fleet undrain 10.0.0.11:7610
    """


@fleet.command("ls", short_help="List engine nodes.")
@json_option
@target_options("operators")
def list_nodes(target: Target, as_json: bool) -> None:
    """List each node with its state, its requests and its adapters. Only those that are ready are asked.

    \b
    Examples:
      trivet fleet ls
      trivet fleet ls --json | jq '.[] | select(.state != "ready")'
    """
    with Client(target) as client:
        nodes = [plain(node) for node in client.list_engine_nodes().nodes]
    if as_json:
        print_json(nodes)
        return
    rows = []
    for node in nodes:
        told = {**node, "adapters": f"{len(node['adapters'])} of {node['adapter_places']}"}
        rows.append([str(told[column]) for column in COLUMNS])
    print_table(COLUMNS, rows)


@fleet.command(short_help="Have a node get no new requests.")
@click.argument("node", metavar="ADDRESS")
@json_option
@target_options("operators")
def drain(target: Target, node: str, as_json: bool) -> None:
    """Have the node at ADDRESS get no new requests, from any gateway. Those under way there are finished.

    \b
    Examples:
      trivet fleet drain 10.0.0.11:7610
    """
    _drain(target, node, True, as_json)


@fleet.command(short_help="Have a drained node get requests again.")
@click.argument("node", metavar="ADDRESS")
@json_option
@target_options("operators")
def undrain(target: Target, node: str, as_json: bool) -> None:
    """Have the node at ADDRESS get requests again.

    \b
    Examples:
      trivet fleet undrain 10.0.0.11:7610
    """
    _drain(target, node, False, as_json)


def _drain(target: Target, node: str, draining: bool, as_json: bool) -> None:
    with Client(target) as client:
        running = client.drain_engine_node(node, draining).running
    if as_json:
        print_json({"address": node, "draining": draining, "running": running})
    else:
        click.echo(f"{node} {'gets nothing new' if draining else 'gets requests again'}; {running} under way there")
