"""`trivet key`: credentials for clients and operators."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

import click

from trivet.cli.console.output import print_json
from trivet.types.text.names import NAME

BYTES = 32  # 256 bits: as hard to guess as its SHA-256
_NAME = re.compile(NAME)


@click.group()
def key() -> None:
    """Keys, by which a server knows who calls.

    \b
    Examples:
      trivet key new --name alice --tenant acme
    """


@key.command("new", short_help="Make a random key.")
@click.option("--name", default="my-key", show_default=True, help="What the key is called in trivet.yaml.")
@click.option("--tenant", default="public", show_default=True, help="Whose requests and documents it is for.")
@click.option(
    "--role",
    type=click.Choice(["client", "operator"]),
    default="client",
    show_default=True,
    help="What its holder may do: ask questions, or change the server too.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the secret into this new file instead of printing it."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object: secret, and the entry for trivet.yaml.")
def new(name: str, tenant: str, role: str, out: Path | None, as_json: bool) -> None:
    """Make a random key: the secret for its holder, and the entry for `keys` in trivet.yaml.

    Only the SHA-256 of the secret goes into trivet.yaml: the secret itself is shown once and kept nowhere.

    \b
    Examples:
      trivet key new --name alice --tenant acme
      trivet key new --name ops --role operator --out operator.key
    """
    for option, value in (("--name", name), ("--tenant", tenant)):
        if not _NAME.fullmatch(value):
            expected = "expected up to 63 lower-case letters, digits, '.', '_' and '-', a letter or digit first"
            raise click.BadParameter(f"{value!r}: {expected}", param_hint=option)
    secret = secrets.token_urlsafe(BYTES)
    entry = {"name": name, "sha256": hashlib.sha256(secret.encode()).hexdigest(), "tenant": tenant, "role": role}
    if out is not None:
        _write(out, secret)
    if as_json:
        print_json({"secret": None if out else secret, "entry": entry})
        return
    if out is None:
        click.echo(f"Secret, for the holder (TRIVET_KEY, or a file for --key-file):\n\n  {secret}\n")
    else:
        click.echo(f"The secret, for the holder, is in {out}.\n")
    click.echo("Entry, for `keys` in trivet.yaml:\n")
    fields = ", ".join(f"{field}: {value}" for field, value in entry.items())
    click.echo(f"  - {{{fields}}}")


def _write(path: Path, secret: str) -> None:
    """Readable by this user alone from its first moment; a file that is there is never overwritten."""
    try:
        with open(path, "x", encoding="utf-8", opener=_private) as file:
            file.write(f"{secret}\n")
    except FileExistsError as error:
        raise click.BadParameter(f"{path} exists: expected a new file", param_hint="--out") from error
    except OSError:
        with suppress(OSError):
            path.unlink()  # on a full disk it is empty, and would be in the way of the next attempt
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
