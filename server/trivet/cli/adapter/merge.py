"""`trivet adapter merge`: the base model with an adapter merged in, as a folder to serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from trivet.cli.console.output import print_json
from trivet.cli.console.steps_progress import StepsProgress
from trivet.cli.options.config import config_options
from trivet.config import Config


@click.command(short_help="Export the base model with an adapter merged in.")
@click.argument("adapter")
@click.option(
    "--to", "target", required=True, type=click.Path(file_okay=False, path_type=Path), help="The new model's folder."
)
@click.option("--backend", help="Backend whose model is the base; default: the one that takes adapters.")
@click.option("--replace", is_flag=True, help="Replace the folder, if an earlier merge wrote it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: folder and what merged.yaml says.")
@config_options
def merge(
    load: Callable[[], Config], adapter: str, target: Path, backend: str | None, replace: bool, as_json: bool
) -> None:
    """Export the base model with ADAPTER (name@version, or any folder with one) merged into its weights.

    The result is an ordinary model folder with the base's dtype and shards. Serve it as a backend of its own, without
    what LoRA costs per token, or with any other server. Adapters that cannot be served can be merged too: DoRA, modules
    trained whole (modules_to_save), added tokens, and a trainer's folder as it is.
    docs/adapters.md explains how to serve it.

    \b
    Examples:
      trivet adapter merge json-answer@1 --to models/json-answer
      trivet adapter merge adapters/json-answer/1 --to /tmp/merged --replace
      trivet adapter merge json-answer@1 --to models/json-answer --json
    """
    from trivet.app.adapters.merging import merge_adapter  # here, because the other commands need no server's code

    with StepsProgress() as progress:
        told = merge_adapter(load(), adapter, target, progress, backend=backend, replace=replace)
    if as_json:
        print_json({"folder": str(target), "merged": told})
        return
    click.echo(f"{told['adapter']} merged: {target}")
    click.echo(f"  fingerprint  {told['fingerprint']}")
    click.echo(f"  base         {told['base_fingerprint']}")
    click.echo(f"  method       {told['method']}, rank {told['rank']}, {told['modules']} modules")
