"""The options by which a command finds a running server."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from trivet.cli.console.connection import hint
from trivet.cli.options import checked
from trivet.client import DEFAULT_ADDRESS, DEFAULT_ADMIN_ADDRESS, CallFailed, Target
from trivet.config import Environment

ADDRESSES = {
    "clients": ("--address", f"Address of the listener for clients (TRIVET_ADDRESS; default {DEFAULT_ADDRESS})."),
    "operators": (
        "--admin-address",
        f"Address of the listener for operators (TRIVET_ADMIN_ADDRESS; default {DEFAULT_ADMIN_ADDRESS}).",
    ),
}
_CREDENTIALS = (
    click.option(
        "--key-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File that holds the key (or TRIVET_KEY holds the key itself).",
    ),
    click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificate authority of the server (TRIVET_CA_FILE); turns TLS on.",
    ),
)


def target_options(*listeners: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --key-file, --ca-file and the addresses of the `listeners` that the command calls: "clients", "operators".

    The command gets a `target`. A call that reaches no server is told with the option that names another one.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_target(
            *args: Any,
            key_file: Path | None,
            ca_file: Path | None,
            address: str | None = None,
            admin_address: str | None = None,
            **options: Any,
        ) -> Any:
            environment = Environment.read()
            target = Target(
                address=_address(address, "--address", environment.address, "TRIVET_ADDRESS") or DEFAULT_ADDRESS,
                admin_address=_address(
                    admin_address, "--admin-address", environment.admin_address, "TRIVET_ADMIN_ADDRESS"
                )
                or DEFAULT_ADMIN_ADDRESS,
                key=_key(key_file, environment),
                ca_file=_authority(ca_file, environment),
            )
            try:
                return command(*args, target=target, **options)
            except CallFailed as error:
                if told := hint(error, " or ".join(ADDRESSES[listener][0] for listener in listeners)):
                    error.add_note(told)
                raise

        added = [_address_option(listener) for listener in listeners]
        for option in reversed((*added, *_CREDENTIALS)):
            with_target = option(with_target)
        return with_target

    return decorate


def _address(given: str | None, option: str, set_: str | None, variable: str) -> str | None:
    if given is not None:
        return checked.address(given, option)
    return None if set_ is None else checked.address(set_, variable)


def _key(file: Path | None, environment: Environment) -> str | None:
    if file is not None:
        return checked.key_in(file)
    return None if environment.key is None else checked.key(environment.key, "TRIVET_KEY")


def _authority(file: Path | None, environment: Environment) -> Path | None:
    if file is not None:
        return checked.authority(file, "--ca-file")
    return None if environment.ca_file is None else checked.authority(Path(environment.ca_file), "TRIVET_CA_FILE")


def _address_option(listener: str) -> Callable[..., Any]:
    option, help_ = ADDRESSES[listener]
    return click.option(option, help=help_)
