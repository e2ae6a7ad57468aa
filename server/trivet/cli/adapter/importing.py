"""`trivet adapter import`: an adapter that was trained elsewhere becomes a version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from trivet.cli.console.output import print_json
from trivet.cli.options.config import config_options
from trivet.config import Config


@click.command("import", short_help="Take a trainer's adapter into a folder of adapters.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", required=True, help="NAME or NAME@VERSION; without a version it gets the next free number.")
@click.option("--base", help="Base model: a backend or a model's folder; default: the backend that takes adapters.")
@click.option(
    "--to",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of adapters to write into; default: the first one of the configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
def import_(
    load: Callable[[], Config], folder: Path, name: str, base: str | None, root: Path | None, as_json: bool
) -> None:
    """Copy the adapter in FOLDER, as a trainer or a hub left it, into a folder of adapters as NAME@VERSION.

    PEFT's two files are copied, checked against the base model as a server would check them, and described in an
    adapter.yaml. Everything else in FOLDER is left alone, and no pickle is read. This needs no server.

    \b
    Examples:
      trivet adapter import outputs/checkpoint-500 --name support
      trivet adapter import outputs --name support@2024-06 --base local --json
      trivet adapter import outputs --name support --base models/llama --to adapters
    """
    from trivet.app.adapters.importing import import_adapter  # here, because the other commands need no server's code

    found = import_adapter(load, folder, name, base=base, to=root)
    if as_json:
        told = {"name": str(found.ref), "folder": str(found.folder), "digest": found.digest, "rank": found.rank}
        print_json({**told, "changed": found.changed})
        return
    click.echo(f"{found.ref}: {found.folder}")
    click.echo(f"  digest  {found.digest}")
    click.echo(f"  rank    {found.rank}")
    if found.changed:
        click.echo("  names of tensors were made PEFT's, or copies of the base's own weights left out")
