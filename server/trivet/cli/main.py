"""The `trivet` command. Exit codes: 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from trivet.cli.console.errors import print_failure
from trivet.client import CallFailed
from trivet.errors import TrivetError

VERBS = {
    "adapter": "trivet.cli.adapter.command:adapter",
    "advise": "trivet.cli.advice.command:advise",
    "ask": "trivet.cli.request.ask:ask",
    "backup": "trivet.cli.server.recovery:backup",
    "check": "trivet.cli.project.check:check",
    "cost": "trivet.cli.cost.command:cost",
    "data": "trivet.cli.data.command:data",
    "demo": "trivet.cli.demo.command:demo",
    "distill": "trivet.cli.distill.command:distill",
    "doctor": "trivet.cli.server.recovery:doctor",
    "drift": "trivet.cli.drift.command:drift",
    "engine": "trivet.cli.server.engine:engine",
    "eval": "trivet.cli.evaluation.command:evaluate",
    "feedback": "trivet.cli.request.feedback:feedback",
    "fleet": "trivet.cli.fleet.command:fleet",
    "index": "trivet.cli.index.command:index",
    "init": "trivet.cli.project.init:init",
    "key": "trivet.cli.project.key:key",
    "prompt": "trivet.cli.prompt.command:prompt",
    "ray": "trivet.cli.ray.command:ray",
    "receipt": "trivet.cli.request.receipt:receipt",
    "reload": "trivet.cli.server.reload:reload_routes",
    "restore": "trivet.cli.server.recovery:restore",
    "rollout": "trivet.cli.rollout.command:rollout",
    "route": "trivet.cli.request.route:route",
    "serve": "trivet.cli.server.serve:serve",
    "status": "trivet.cli.server.status:status",
}
"""Where each verb is. Only the one that is asked for is imported: all of them take half a second."""


INTERNAL = {"front-end": "trivet.cli.server.serve:front_end"}
"""What Trivet starts itself, and nobody else calls."""


class Commands(click.Group):
    """Turns expected failures into one clear message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the alphabet."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it; None if there is none of this name."""
        module, _, name = {**VERBS, **INTERNAL}.get(cmd_name, "").partition(":")
        found: click.Command | None = getattr(import_module(module), name) if module else None
        return found

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
