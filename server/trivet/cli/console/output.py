"""What commands print: plain data for `--json`, tables and lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
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
    """A table for people."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*[str(cell) for cell in row])
    # Neither [brackets] nor :words: of a document's id mean anything.
    Console(markup=False, emoji=False, highlight=False).print(table)
