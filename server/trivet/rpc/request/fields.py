"""Conditions on documents' fields, and fields, between Struct messages and the domain's types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from trivet.errors import Problems
from trivet.types.metadata.where import Where, parse_where


def where_of(owner: Message, problems: Problems, path: str = "where") -> Where | None:
    """The conditions in the field `where` of a message, None if it has none; what cannot be read is a problem."""
    if not owner.HasField("where"):
        return None
    try:
        return parse_where(plain(owner.where))  # type: ignore[attr-defined]
    except ValueError as error:
        problems.add(path, str(error))
        return None


def plain(struct: Struct) -> dict[str, Any]:
    """A Struct as JSON has it; raises ValueError for a number that JSON does not have."""
    found: dict[str, Any] = MessageToDict(struct)
    return found


def struct_of(values: Mapping[str, Any]) -> Struct:
    """The message that `plain` reads."""
    struct = Struct()
    struct.update(dict(values))
    return struct
