"""Values of options and environment variables that gRPC would take and fail at, with the blame on the server."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import click

from trivet.config.fields import patterns

_HOST_PORT = re.compile(patterns.HOST_PORT)
_NAME = re.compile(patterns.NAME)
_GRPC_NAME = re.compile(r"(dns|unix|unix-abstract|ipv4|ipv6|xds):\S*\D\S*")  # gRPC's own ways to name a server
_KEY = re.compile(r"[\x21-\x7e]+")  # what a header can carry, without white space
LAST_PORT = 65535


def address(text: str, origin: str) -> str:
    """An address to call or to listen on; raises click.BadParameter, which blames `origin`."""
    if _GRPC_NAME.fullmatch(text):
        return text
    if not _HOST_PORT.fullmatch(text):
        raise click.BadParameter(f"expected {patterns.WORDS[patterns.HOST_PORT]}, got {text!r}", param_hint=origin)
    if int(text.rpartition(":")[2]) > LAST_PORT:
        raise click.BadParameter(f"expected a port up to {LAST_PORT}, got {text!r}", param_hint=origin)
    return text


def name(text: str, origin: str) -> str:
    """A name as the configuration has them; raises click.BadParameter, which blames `origin`."""
    if not _NAME.fullmatch(text):
        raise click.BadParameter(f"expected {patterns.WORDS[patterns.NAME]}, got {text!r}", param_hint=origin)
    return text


def key_in(path: Path) -> str:
    """The key that a file holds; raises click.BadParameter."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{path} is not a text file", param_hint="--key-file") from error
    return key(text.strip(), "--key-file")


def key(text: str, origin: str) -> str:
    """A key that a call can carry; raises click.BadParameter, which does not repeat it."""
    if not _KEY.fullmatch(text):
        found = "one with white space or other characters" if text else "nothing"
        raise click.BadParameter(f"expected one key, of printable ASCII characters, got {found}", param_hint=origin)
    return text


def authority(path: Path, origin: str) -> Path:
    """A file of certificates; raises click.BadParameter."""
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError as error:
        raise click.BadParameter(f"{path} holds no certificate in PEM format", param_hint=origin) from error
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint=origin) from error
    return path
