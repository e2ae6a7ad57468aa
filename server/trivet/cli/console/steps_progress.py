"""How far long work on this machine is: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY = 10.0  # seconds


class StepsProgress:
    """Told by a training or a merge what it does; on standard error, so that results can be piped."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._stage, self._total, self._done = "", 0, 0
        self._begun = self._told = time.monotonic()
        self._first = 0

    def __enter__(self) -> StepsProgress:
        if sys.stderr.isatty():
            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            detail = TextColumn("{task.fields[detail]}")
            self._bar = Progress(TextColumn("{task.description}"), *columns, detail, console=Console(stderr=True))
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage begins; a bar of its own."""
        self._stage, self._total, self._done, self._first = stage, total, done, done
        self._begun = self._told = time.monotonic()
        if self._bar:
            self._task = self._bar.add_task(stage, total=total, completed=done, detail="")

    def advance(self, detail: str = "") -> None:
        """One more; outside a terminal the last one and one every `LINE_EVERY` seconds are told."""
        self._done += 1
        if self._bar:
            self._bar.update(self._task, advance=1, detail=detail)
        elif self._done == self._total or time.monotonic() - self._told >= LINE_EVERY:
            self._told = time.monotonic()
            told = f"  {self._stage}: {self._done}/{self._total}"
            click.echo(f"{told}{'  ' + detail if detail else ''}  {self._times()}", err=True)

    def note(self, text: str) -> None:
        """A line of its own."""
        if self._bar:
            self._bar.console.print(text, highlight=False, markup=False)
        else:
            click.echo(f"  {text}", err=True)

    def _times(self) -> str:
        took = time.monotonic() - self._begun
        left = took / (self._done - self._first) * (self._total - self._done)
        return f"{_clock(took)}, {_clock(left)} left" if self._done < self._total else _clock(took)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
