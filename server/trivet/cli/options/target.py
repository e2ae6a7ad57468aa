"""The options by which a command finds a running server."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from trivet.client import DEFAULT_ADDRESS, DEFAULT_ADMIN_ADDRESS, Target
from trivet.config import Environment


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --address, --admin-address, --key-file and --ca-file; the command gets a `target`."""

    @click.option("--address", help=f"Clients' listener (TRIVET_ADDRESS; default {DEFAULT_ADDRESS}).")
    @click.option(
        "--admin-address", help=f"Operators' listener (TRIVET_ADMIN_ADDRESS; default {DEFAULT_ADMIN_ADDRESS})."
    )
    @click.option("--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File with the key.")
    @click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificate authority of the server (TRIVET_CA_FILE); turns TLS on.",
    )
    @wraps(command)
    def with_target(
        *args: Any,
        address: str | None,
        admin_address: str | None,
        key_file: Path | None,
        ca_file: Path | None,
        **options: Any,
    ) -> Any:
        environment = Environment.read()
        authority = ca_file or (Path(environment.ca_file) if environment.ca_file else None)
        target = Target(
            address=address or environment.address or DEFAULT_ADDRESS,
            admin_address=admin_address or environment.admin_address or DEFAULT_ADMIN_ADDRESS,
            key=key_file.read_text().strip() if key_file else environment.key,
            ca_file=authority,
        )
        return command(*args, target=target, **options)

    return with_target
