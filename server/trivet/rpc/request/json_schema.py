"""A JSON schema out of a google.protobuf.Struct, which knows neither integers nor the order of fields."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2

MOST_EXACT = 2**53  # beyond, a double stands for several integers


def schema_from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The schema, its integers restored and its fields in an order that does not depend on chance.

    The engine writes an object's fields in the order of `properties`, and a model answers worse in an order that it
    does not know. A Struct is a map: whatever order the client had is lost on the way. Lists keep theirs, so properties
    come in the order of `required`, the others after them by name.
    """
    return _object(struct)


def _object(struct: struct_pb2.Struct) -> dict[str, Any]:
    fields = {key: _value(struct.fields[key]) for key in sorted(struct.fields)}
    properties, required = fields.get("properties"), fields.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        first = [name for name in required if isinstance(name, str) and name in properties]
        fields["properties"] = {name: properties[name] for name in dict.fromkeys([*first, *properties])}
    return fields


def _value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _object(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= MOST_EXACT else number
    return None if kind in (None, "null_value") else getattr(value, kind)
