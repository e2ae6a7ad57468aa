"""`trivet reload`: a running server takes up other routes without a restart."""

from __future__ import annotations

import click

from trivet.cli.console.output import plain, print_json
from trivet.cli.options.target import target_options
from trivet.client import Client, Target


@click.command("reload", short_help="Serve changed routes without a restart.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: revision and differences.")
@target_options("operators")
def reload_routes(target: Target, as_json: bool) -> None:
    """Let a running server read its configuration again and serve its routes, prices and new prompts.

    The server first prepares new and changed variants, then changes all routes in one step: no request fails and no
    stream stalls. If anything is wrong, or a change needs a restart, nothing changes. SIGHUP does the same.

    \b
    Examples:
      trivet reload
      trivet reload --json
    """
    with Client(target) as client:
        response = client.reload_routes()
    if as_json:
        print_json(plain(response))
        return
    for line in response.differences:
        click.echo(f"  {line}")
    click.echo(f"serving revision {response.revision}" + ("" if response.differences else ": nothing differs"))
