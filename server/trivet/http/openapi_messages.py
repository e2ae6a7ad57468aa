"""The contract's messages in their JSON form, as JSON schemas: types from their descriptors, bounds from the one table.

Source: https://protobuf.dev/programming-guides/json. A null is an absent field, and numbers may be texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from trivet.rpc.messages.bounds import BOUNDS, Bound

_INTEGER, _NUMBER = ["integer", "string", "null"], ["number", "string", "null"]
_TYPES = {
    FieldDescriptor.CPPTYPE_BOOL: ["boolean", "null"],
    FieldDescriptor.CPPTYPE_INT32: _INTEGER,
    FieldDescriptor.CPPTYPE_INT64: _INTEGER,
    FieldDescriptor.CPPTYPE_UINT32: _INTEGER,
    FieldDescriptor.CPPTYPE_UINT64: _INTEGER,
    FieldDescriptor.CPPTYPE_FLOAT: _NUMBER,
    FieldDescriptor.CPPTYPE_DOUBLE: _NUMBER,
    FieldDescriptor.CPPTYPE_ENUM: ["string", "integer", "null"],
}
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "google.protobuf.Timestamp": {"type": ["string", "null"], "format": "date-time"},
    "google.protobuf.Struct": {"type": ["object", "null"]},
}


def message_form(kind: type[Message], required: Sequence[str] = (), **more: dict[str, Any]) -> dict[str, Any]:
    """A message of the contract. `more`: properties that the JSON form has beside its fields."""
    descriptor: Any = kind.DESCRIPTOR
    return _form(descriptor, required, more)


def _form(descriptor: Descriptor, required: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
    owner = descriptor.full_name.rpartition(".")[2]
    properties = {
        field.name: _field(field, BOUNDS.get(f"{owner}.{field.name}", Bound())) for field in descriptor.fields
    }
    return {"type": "object", "required": list(required), "properties": {**properties, **more}}


def _field(field: FieldDescriptor, bound: Bound) -> dict[str, Any]:
    if not field.is_repeated:
        return _single(field, bound.size)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {"type": ["object", "null"]}
    items = _single(field, bound.size)
    form: dict[str, Any] = {"type": ["array", "null"], "items": items}
    return form if bound.items is None else {**form, "maxItems": bound.items}


def _single(field: FieldDescriptor, size: int | None) -> dict[str, Any]:
    if field.message_type is not None:
        known = _WELL_KNOWN.get(field.message_type.full_name)
        return known or {"anyOf": [_form(field.message_type, (), {}), {"type": "null"}]}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": ["string", "null"], "contentEncoding": "base64"}
    if field.type == FieldDescriptor.TYPE_STRING:
        form: dict[str, Any] = {"type": ["string", "null"]}
        return form if size is None else {**form, "maxLength": size}
    return {"type": _TYPES[field.cpp_type]}
