"""JSON values: their types, and when two of them are the same."""

from __future__ import annotations

import json
from typing import Any


def matches_type(value: Any, name: str) -> bool:
    """Whether it is of a JSON Schema type; 1.0 is an integer, true is no number."""
    if name == "null":
        return value is None
    if name == "boolean":
        return isinstance(value, bool)
    if name == "integer":
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
    if name == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"string": str, "array": list, "object": dict}.get(name, ()))


def type_of(value: Any) -> str:
    """The one type name of a value; numbers of both kinds are `number`."""
    return next(
        name for name in ("null", "boolean", "number", "string", "array", "object") if matches_type(value, name)
    )


def identity(value: Any) -> str:
    """The same text for the same value."""
    return json.dumps(value, sort_keys=True)
