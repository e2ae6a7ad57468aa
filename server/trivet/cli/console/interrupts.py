"""Ctrl-C in the middle of long work: what was done, and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def interrupted(state: str | Callable[[], str]) -> Iterator[None]:
    """Around the work: after Ctrl-C say `state`, and exit with 1."""
    try:
        yield
    except KeyboardInterrupt as stop:
        told = state if isinstance(state, str) else state()
        click.echo(f"stopped: {told}.", err=True)
        raise click.exceptions.Exit(1) from stop
