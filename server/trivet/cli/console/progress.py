"""What the console shows while a server starts: what is starting, how far, what is ready and where."""

from __future__ import annotations

import time

import click


class ConsoleProgress:
    """One line per stage, with the seconds that it took."""

    def __init__(self) -> None:
        self._started: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        """A stage has begun."""
        self._started[stage] = time.monotonic()
        click.echo(f"  starting  {stage}", err=True)

    def done(self, stage: str, detail: str = "") -> None:
        """A stage is ready."""
        seconds = time.monotonic() - self._started.get(stage, time.monotonic())
        click.echo(f"  ready     {stage} ({seconds:.1f} s){': ' + detail if detail else ''}", err=True)

    def note(self, text: str) -> None:
        """Something a person needs to know."""
        click.echo(text, err=True)
