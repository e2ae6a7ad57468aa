"""`trivet status`: whether a server serves, and what."""

from __future__ import annotations

from typing import Any

import click

from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.options.target import target_options
from trivet.client import Client, Target


@click.command(short_help="Show whether a server serves.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: serving, routes, adapters, indexes.")
@target_options("clients", "operators")
def status(target: Target, as_json: bool) -> None:
    """Show whether a server is serving, and how many variants, adapters and documents it has.

    The exit code is 0 if every variant that gets traffic is ready, and 1 otherwise, also while the server starts.

    \b
    Examples:
      trivet status
      trivet status --json | jq .serving
    """
    with Client(target) as client:
        serving = client.serving()
        found: dict[str, Any] = {"serving": serving, "routes": [], "adapters": [], "indexes": []}
        if serving:
            found["routes"] = [plain(item) for item in client.list_routes().routes]
            found["adapters"] = [plain(item) for item in client.list_adapters().adapters]
            found["indexes"] = [plain(item) for item in client.list_indexes().indexes]
    variants = [(item["name"], entry) for item in found["routes"] for entry in item["variants"] if entry["weight"] > 0]
    waiting = [f"{name}/{entry['variant']['name']}" for name, entry in variants if not entry["ready"]]
    if as_json:
        print_json(found)
    else:
        _show(found, len(variants), waiting)
    if waiting or not serving:
        raise click.exceptions.Exit(1)


def _show(found: dict[str, Any], variants: int, waiting: list[str]) -> None:
    if not found["serving"]:
        click.echo("not serving: the server is starting or stopping, or no variant is ready")
        return
    loaded = sum(item["state"] == "ready" for item in found["adapters"])
    ready = f"{variants - len(waiting)} of {variants} ready"
    if waiting:
        ready += f"; not ready: {', '.join(waiting)}"
    rows = [
        ("routes", f"{len(found['routes'])}; variants with traffic: {ready}"),
        ("adapters", f"{loaded} of {len(found['adapters'])} loaded"),
    ]
    for item in found["indexes"]:
        due = f"; a build is due: {item['build_due']}" if item["build_due"] else ""
        rows.append((f"index {item['name']}", f"{item['documents']:,} documents, {item['passages']:,} passages{due}"))
    print_table(("serving", "yes"), rows)
