"""`trivet prompt render`: what the model is really told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict

import click

from trivet.cli.console.output import print_json
from trivet.cli.options.config import config_options
from trivet.cli.options.variables import pairs
from trivet.config import Config
from trivet.errors import FailedPrecondition, InvalidRequest

QUESTION = "<the user's message>"


@click.command(short_help="Show what the model gets for a question.")
@click.argument("name", metavar="ROUTE|PROMPT")
@click.argument("question", default=QUESTION)
@click.option("--variant", default="", help="Which of the route's variants, if there are several.")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A template variable; repeatable.")
@click.option("--passage", "passages", multiple=True, metavar="TEXT", help="A retrieved passage; repeatable.")
@click.option("--ids", is_flag=True, help="Print the token ids too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, with token ids.")
@config_options
def render(
    load: Callable[[], Config],
    name: str,
    question: str,
    variant: str,
    variables: tuple[str, ...],
    passages: tuple[str, ...],
    ids: bool,
    as_json: bool,
) -> None:
    """Show the text and the tokens that the model gets for QUESTION, without a server or an engine.

    Name a route, or a prompt as name@version. The static prefix is what the KV cache can hold for all requests: it
    ends where the text depends on the request, at the first variable at the latest. Only full blocks are cached.

    \b
    Examples:
      trivet prompt render support "How long is the warranty?"
      trivet prompt render support --variant new --passage "The warranty is two years."
      trivet prompt render support@1 --var company=Kestrel --ids
    """
    from trivet.app.project import render as rendered  # here, because other commands need no tokenizer

    try:
        found = rendered(
            load(), name, variant=variant, question=question, variables=pairs(variables), passages=passages
        )
    except InvalidRequest as error:
        raise FailedPrecondition(f"{error}; give variables with --var NAME=VALUE") from error
    size = found.block_size
    blocks = None if size is None else found.prefix_tokens // size
    if as_json:
        print_json({**asdict(found), "tokens": len(found.token_ids), "cached_blocks": blocks})
        return
    rest = found.text.removeprefix(found.prefix_text)
    click.echo(click.style(found.prefix_text, fg="cyan"), nl=False)
    if not sys.stdout.isatty():
        click.echo("\n----- the static prefix ends here -----")
    click.echo(rest)
    click.echo(f"\nprompt    {found.prompt}, backend {found.backend}" + _of(found.variant), err=True)
    click.echo(f"tokens    {len(found.token_ids):,} of {found.context_tokens:,}", err=True)
    click.echo(f"prefix    {found.prefix_tokens:,} tokens, {_blocks(blocks, size)}", err=True)
    if found.dropped:
        click.echo(f"dropped   {found.dropped} of {len(passages)} passages: there is no room for them", err=True)
    if ids:
        click.echo(" ".join(map(str, found.token_ids)))


def _of(variant: str) -> str:
    return f", variant {variant}" if variant else ""


def _blocks(blocks: int | None, size: int | None) -> str:
    if blocks is None:
        return "of which full blocks are cached (the engine chooses their size unless block_size is set)"
    return f"of which {blocks} x {size} tokens, the full blocks, can be cached"
