"""What the index commands have in common: a running server, or the data folder itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from trivet.cli.index.offline import OfflineIndexes
from trivet.cli.options.config import config_options
from trivet.cli.options.target import target_options
from trivet.client import Client, Target

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
Indexes = Client | OfflineIndexes


def indexes_options(
    command: Callable[..., Any], *, makes_anew: bool = False, listeners: Sequence[str] = ("operators",)
) -> Callable[..., Any]:
    """Add --offline, --config and the server's options; the command gets a `client`.

    `makes_anew`: offline, the command can do without the embedding model of the index's live snapshot. `listeners`:
    those that the command calls.
    """

    @click.option("--offline", is_flag=True, help="Work on the data folder itself, while no server runs on it.")
    @config_options
    @target_options(*listeners)
    @wraps(command)
    def with_client(*args: Any, target: Target, offline: bool, **options: Any) -> Any:
        loaded = options.pop("load")
        replace = options["name"] if makes_anew else ""
        with OfflineIndexes(loaded(), replace) if offline else Client(target) as client:
            return command(*args, client=client, **options)

    return with_client
