"""Interactions from a server, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from trivet import __version__
from trivet.api.v1 import interaction_pb2
from trivet.cli.console.bars import bars
from trivet.cli.data.suites import Asked
from trivet.client import Client
from trivet.datasets.selection import Selection


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


def manifest_of(form: str, wanted: interaction_pb2.InteractionFilter) -> dict[str, Any]:
    """The beginning of a folder's manifest: what made it, when, and which interactions were wanted for it."""
    return {
        "trivet": __version__,
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": form,
        "filter": MessageToDict(wanted, preserving_proto_field_name=True),
    }


def choice_of(asked: Asked, chosen: Selection) -> dict[str, Any]:
    """The end of a folder's manifest: the evaluations kept out, how many were read, and why some were left out."""
    left_out = {reason: count for reason, count in chosen.left_out.most_common() if count}
    return {"suites": asked.told, "read": chosen.read, "left_out": left_out}


def tell(folder: Path, made: dict[str, Any]) -> None:
    """The files of a folder that was made, and what is not in them."""
    for name, file in made["files"].items():
        click.echo(f"{folder / name}: {file['lines']:,} lines")
    for reason, count in made.get("left_out", {}).items():
        click.echo(f"left out: {count:,} ({reason})", err=True)
