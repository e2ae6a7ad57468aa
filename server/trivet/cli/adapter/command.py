"""`trivet adapter`: what is loaded, and loading and unloading it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from trivet.api.v1 import admin_pb2
from trivet.cli.adapter.importing import import_
from trivet.cli.adapter.merge import merge
from trivet.cli.adapter.train import train
from trivet.cli.console.output import plain, print_json, print_table
from trivet.cli.options.config import config_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target
from trivet.config import Config


@click.group()
def adapter() -> None:
    """LoRA adapters.

    \b
    Examples:
      trivet adapter ls
      trivet adapter check adapters/json-answer/1
      trivet adapter load json-answer@2
      trivet adapter import outputs/checkpoint-500 --name support
      trivet adapter train models/demo/recipes/json-answer.yaml
      trivet adapter merge json-answer@2 --to models/json-answer
    """


adapter.add_command(import_)
adapter.add_command(merge)
adapter.add_command(train)


@adapter.command("ls", short_help="List adapters and their states.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@target_options("operators")
def list_adapters(target: Target, as_json: bool) -> None:
    """List the adapters that a running server knows, and which of them are loaded.

    An adapter stays loaded while one of the routes named uses it, and while `requested` is yes: then an operator loaded
    it. Where `on_demand` is yes, requests chose it, and it gives way when others are needed.

    \b
    Examples:
      trivet adapter ls
      trivet adapter ls --json | jq '.[] | select(.state == "ready").name'
    """
    with Client(target) as client:
        adapters = [plain(item) for item in client.list_adapters().adapters]
    if as_json:
        print_json(adapters)
        return
    columns = ("name", "state", "tier", "rank", "routes", "requested", "on_demand", "engine_name", "problem")
    print_table(columns, [[_cell(item[column]) for column in columns] for item in adapters])


@adapter.command(short_help="Check an adapter's folder without a server.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_options
def check(load: Callable[[], Config], folder: Path, as_json: bool) -> None:
    """Check the adapter in FOLDER as a server would, without one: files, base model, rank, shapes, numbers.

    \b
    Examples:
      trivet adapter check adapters/json-answer/1
      trivet adapter check adapters/json-answer/1 --config deploy/production.yaml --json
    """
    from trivet.app.adapters.manager import check_folder  # here, because the other commands need no server's code

    ref, checked = check_folder(load(), folder)
    if as_json:
        print_json({"name": str(ref), "digest": checked.digest, "rank": checked.rank, "ok": True})
    else:
        click.echo(f"{ref}: OK, rank {checked.rank}, digest {checked.digest}")


@adapter.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@target_options("operators")
def load(target: Target, name: str, as_json: bool) -> None:
    """Load NAME (name@version) into a running server. It stays loaded, also after restarts, until `unload`.

    \b
    Examples:
      trivet adapter load json-answer@2
    """
    with Client(target) as client:
        _print_adapter(client.load_adapter(name).adapter, as_json)


@adapter.command(short_help="Unload an adapter from a running server.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@target_options("operators")
def unload(target: Target, name: str, as_json: bool) -> None:
    """Unload NAME (name@version) from a running server, once no request uses it.

    This is refused while a variant of a route uses the adapter.

    \b
    Examples:
      trivet adapter unload json-answer@2
    """
    with Client(target) as client:
        _print_adapter(client.unload_adapter(name).adapter, as_json)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else ""
    return ", ".join(value) if isinstance(value, list) else value


def _print_adapter(item: admin_pb2.Adapter, as_json: bool) -> None:
    data = plain(item)
    if as_json:
        print_json(data)
    else:
        click.echo(f"{data['name']}: {data['state']} ({data['engine_name'] or 'not in the engine'})")
