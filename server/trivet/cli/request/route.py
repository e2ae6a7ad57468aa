"""`trivet route`: what a running server can be asked."""

from __future__ import annotations

import click

from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.options.target import target_options
from trivet.client import Client, Target


@click.group()
def route() -> None:
    """Routes: the names that clients call.

    \b
    Examples:
      trivet route ls
      trivet route ls --json
    """


@route.command("ls", short_help="List routes and variants.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of routes.")
@target_options("operators")
def list_routes(target: Target, as_json: bool) -> None:
    """List the routes of a running server with their variants: what each is made of, its share, and if it is ready.

    \b
    Examples:
      trivet route ls
      trivet route ls --admin-address 10.0.0.5:7601 --key-file operator.key
    """
    with Client(target) as client:
        routes = [plain(item) for item in client.list_routes().routes]
    if as_json:
        print_json(routes)
        return
    rows = []
    for item in routes:
        total = sum(entry["weight"] for entry in item["variants"])
        for entry in item["variants"]:
            about = entry["variant"]
            share = f"{entry['weight'] / total:.1%}" if total else "0%"
            parts = [about[name] for name in ("backend", "prompt", "index", "adapter")]
            rows.append([item["name"], about["name"], share, "yes" if entry["ready"] else "no", *parts])
    print_table(("route", "variant", "share", "ready", "backend", "prompt", "index", "adapter"), rows)
