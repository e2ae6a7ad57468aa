"""`trivet prompt` and its commands."""

from __future__ import annotations

import click

from trivet.cli.prompt.compile.command import compile_
from trivet.cli.prompt.diff import diff
from trivet.cli.prompt.lint import lint
from trivet.cli.prompt.render import render


@click.group()
def prompt() -> None:
    """Prompts: what the model is told before the conversation.

    \b
    Examples:
      trivet prompt render support
      trivet prompt lint
      trivet prompt diff support@1 support@2
      trivet prompt compile tickets --data more-tickets.jsonl
    """


prompt.add_command(render)
prompt.add_command(lint)
prompt.add_command(diff)
prompt.add_command(compile_)
