"""How a command fails: one message on standard error, as JSON where the command was asked for JSON."""

from __future__ import annotations

import json
from typing import Any

import click

from trivet.cli.console.connection import plain_message
from trivet.client import CallFailed
from trivet.errors import ConfigError, TrivetError

Failure = CallFailed | TrivetError | OSError | click.ClickException


def print_failure(error: Failure, *, as_json: bool) -> int:
    """Tell what went wrong; returns the exit code, 1 or 2 (wrong usage)."""
    if as_json:
        click.echo(json.dumps({"error": _as_data(error)}, ensure_ascii=False), err=True)
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        click.echo("\n".join([_line(error), *getattr(error, "__notes__", [])]), err=True)
    return error.exit_code if isinstance(error, click.ClickException) else 1


def _line(error: Failure) -> str:
    if isinstance(error, OSError):
        return f"error: {_of_system(error)}"
    if not isinstance(error, CallFailed):
        return f"error: {error}"
    said = error.code if error.reason in {"", error.code} else f"{error.code}, {error.reason}"
    return f"error: {plain_message(error)} ({said})"


def _of_system(error: OSError) -> str:
    """Without the error's number, and with the file in front."""
    told = error.strerror or str(error)
    return told if error.filename is None else f"{error.filename}: {told}"


def _as_data(error: Failure) -> dict[str, Any]:
    """`code` is one of gRPC's; `reason` says more exactly what it is about."""
    data: dict[str, Any] = {}
    if isinstance(error, CallFailed):
        data = {"code": error.code, "reason": error.reason, "message": plain_message(error)}
        if error.fields:
            data["fields"] = error.fields
        if error.retry_after is not None:
            data["retry_after"] = error.retry_after
    elif isinstance(error, click.ClickException):
        usage = isinstance(error, click.UsageError)
        code, reason = ("INVALID_ARGUMENT", "USAGE") if usage else ("FAILED_PRECONDITION", "FAILED_PRECONDITION")
        data = {"code": code, "reason": reason, "message": error.format_message()}
    elif isinstance(error, TrivetError):
        data = {"code": "FAILED_PRECONDITION", "reason": error.reason, "message": str(error)}
        if isinstance(error, ConfigError):
            data["problems"] = list(error.problems)
    else:
        data = {"code": "FAILED_PRECONDITION", "reason": "OPERATING_SYSTEM", "message": _of_system(error)}
    if notes := getattr(error, "__notes__", []):
        data["hint"] = " ".join(notes)
    return data
