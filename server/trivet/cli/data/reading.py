"""Interactions from a server, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from trivet.api.v1 import interaction_pb2
from trivet.cli.console.bars import bars
from trivet.client import Client


def read(
    client: Client, wanted: interaction_pb2.InteractionFilter, limit: int | None = None
) -> Iterator[interaction_pb2.Interaction]:
    """Those that are wanted, at most `limit`, with a bar."""
    total = sum(count.stored for count in client.interactions.count(wanted))
    columns = (TextColumn("reading interactions"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bars(*columns) as bar:
        task = bar.add_task("", total=min(total, limit or total))
        for one in client.interactions.export(wanted, limit or 0):
            yield one
            bar.advance(task)


def tell(folder: Path, made: dict[str, Any]) -> None:
    """The files of a folder that was made, and what is not in them."""
    for name, file in made["files"].items():
        click.echo(f"{folder / name}: {file['lines']:,} lines")
    for reason, count in made.get("left_out", {}).items():
        click.echo(f"left out: {count:,} ({reason})", err=True)
