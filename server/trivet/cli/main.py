"""The `trivet` command. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import click

from trivet.cli.adapter.command import adapter
from trivet.cli.demo.command import demo
from trivet.cli.evaluation.command import evaluate
from trivet.cli.index.command import index
from trivet.cli.request.ask import ask
from trivet.cli.server.recovery import backup, doctor, restore
from trivet.cli.server.reload import reload_routes
from trivet.cli.server.serve import serve
from trivet.client import CallFailed
from trivet.errors import TrivetError


class Commands(click.Group):
    """Turns expected failures into one clear message and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except CallFailed as error:
            lines = [f"error: {error.message} ({error.code}{', ' + error.reason if error.reason else ''})"]
            if error.code == "UNAVAILABLE" and not error.reason:
                lines.append("Is a server running there? Start one with `trivet serve`, or name it with --address.")
            click.echo("\n".join(lines), err=True)
        except (TrivetError, OSError) as error:
            click.echo(f"error: {error}", err=True)
        sys.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("trivet"), prog_name="trivet")
def main() -> None:
    """Trivet serves a language model on three legs: prompts, indexes and adapters.

    \b
    Examples:
      trivet demo                             show all of it, with real requests
      trivet serve                            serve what trivet.yaml says
      trivet ask "How long is the warranty?"  ask a running server
    """


for command in (serve, demo, ask, index, adapter, reload_routes, evaluate, backup, restore, doctor):
    main.add_command(command)
