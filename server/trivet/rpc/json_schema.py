"""A JSON schema out of a google.protobuf.Struct, which knows neither integers nor the order of fields."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format, struct_pb2

MOST_EXACT = 2**53  # beyond, a double stands for several integers


def schema_from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The schema, its integers restored and its fields in an order that does not depend on chance.

    The engine writes an object's fields in the order of `properties`, and a model answers worse in an order that it
    does not know. A Struct is a map: whatever order the client had is lost on the way. Lists keep theirs, so properties
    come in the order of `required`, the others after them by name.
    """
    restored: dict[str, Any] = _restored(json_format.MessageToDict(struct))
    return restored


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        fields = {key: _restored(value[key]) for key in sorted(value)}
        properties, required = fields.get("properties"), fields.get("required")
        if isinstance(properties, dict) and isinstance(required, list):
            first = [name for name in required if isinstance(name, str) and name in properties]
            fields["properties"] = {name: properties[name] for name in dict.fromkeys([*first, *properties])}
        return fields
    if isinstance(value, list):
        return [_restored(item) for item in value]
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= MOST_EXACT
    return int(value) if whole else value
