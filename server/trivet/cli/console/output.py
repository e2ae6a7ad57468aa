"""What commands print: plain data for `--json`, tables and lines for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def plain(message: Message) -> dict[str, Any]:
    """A message by its fields' names. Unknown (absent optional) fields are left out; enums are short and lower-case.

    Unlike protobuf's own JSON, 64-bit numbers stay numbers.
    """
    data: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        if field.is_repeated:
            data[field.name] = [_plain_value(field, item) for item in value]
        else:
            data[field.name] = _plain_value(field, value)
    return data


def _plain_value(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToDatetime().isoformat() + "Z"
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type is not None:
        return enum_name(field, value)
    return value


def enum_name(field: Any, value: int) -> str:
    """`ADAPTER_STATE_READY` as `ready`."""
    prefix: str = field.enum_type.values[0].name.removesuffix("UNSPECIFIED")
    name: str = field.enum_type.values_by_number[value].name
    return name.removeprefix(prefix).lower()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people. In a terminal long cells are folded; elsewhere nothing is cut, however long a line gets."""
    cells = [[str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _print_lines([list(columns), *([" ".join(cell.split()) for cell in row] for row in cells)])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row)
    # Neither [brackets] nor :words: of a document's id mean anything.
    Console(markup=False, emoji=False, highlight=False).print(table)


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(cell_len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
