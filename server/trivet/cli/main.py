"""The `trivet` command. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import click

from trivet.cli.adapter.command import adapter
from trivet.cli.console.errors import print_failure
from trivet.cli.cost.command import cost
from trivet.cli.demo.command import demo
from trivet.cli.evaluation.command import evaluate
from trivet.cli.index.command import index
from trivet.cli.project.check import check
from trivet.cli.project.init import init
from trivet.cli.project.key import key
from trivet.cli.project.prompt import prompt
from trivet.cli.request.ask import ask
from trivet.cli.request.feedback import feedback
from trivet.cli.request.receipt import receipt
from trivet.cli.request.route import route
from trivet.cli.rollout.command import rollout
from trivet.cli.server.recovery import backup, doctor, restore
from trivet.cli.server.reload import reload_routes
from trivet.cli.server.serve import serve
from trivet.cli.server.status import status
from trivet.client import CallFailed
from trivet.errors import TrivetError


class Commands(click.Group):
    """Turns expected failures into one clear message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        as_json = "--json" in [*context._protected_args, *context.args]
        try:
            return super().invoke(context)
        except (click.exceptions.NoArgsIsHelpError, BrokenPipeError):
            raise  # click says nothing of a pipe whose reader has gone (`| head`)
        except (CallFailed, TrivetError, OSError, click.ClickException) as error:
            sys.exit(print_failure(error, as_json=as_json))

    def main(self, *args: Any, **named: Any) -> Any:
        """Run from the command line: what fails before a command runs (help onto a full disk) is told as well."""
        try:
            return super().main(*args, **named)
        except OSError as error:
            sys.exit(print_failure(error, as_json=False))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("trivet"), prog_name="trivet")
def main() -> None:
    """Trivet serves a language model with prompts, indexes and adapters, and accounts for each request.

    \b
    Examples:
      trivet init shop                        write a small project of your own
      trivet check                            check a project without starting anything
      trivet serve                            serve what trivet.yaml describes
      trivet ask "How long is the warranty?"  ask a running server
      trivet demo                             show everything, with real requests
    """


COMMANDS = (
    *(init, check, serve, ask, status, route, prompt, receipt, feedback, index, adapter, rollout),
    *(evaluate, cost, reload_routes, key, demo, backup, restore, doctor),
)
for command in COMMANDS:
    main.add_command(command)
