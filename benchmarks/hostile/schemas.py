"""JSON schemas of a hostile client.

`SCHEMAS` must be refused: too large, never compiled in time, or with keywords that would not be kept to. `ENDLESS`
ones are legal, and no answer that has room can fulfil them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STRING = {"type": "string"}


def _object(properties: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{i}": _STRING for i in range(properties)}}


SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "10,000 values": {"enum": [f"value {i}" for i in range(10_000)]},
    "1 MB of one value": {"const": "x" * (1 << 20)},
    "5,000 properties": _object(5_000),
    "2,000 alternatives": {"anyOf": [{"const": i} for i in range(2_000)]},
    "a pattern that looks ahead": {"type": "string", "pattern": "^(?=.*[A-Z])[a-z]+$"},
    "a pattern that refers back": {"type": "string", "pattern": r"^(a+)\1$"},
    "a pattern of 100 KB": {"type": "string", "pattern": "(a|b)?" * 16_000},
    "a pattern that is none": {"type": "string", "pattern": "([a-z"},
    "itself": {"$ref": "#"},
    "another server's": {"$ref": "https://example.com/schema.json"},
    "a reference to nothing": {"$ref": "#/$defs/nothing", "$defs": {}},
    "a type that does not exist": {"type": "text"},
    "nothing may match": {"not": {}},
    "nothing at all": {},
}

ENDLESS: Mapping[str, Mapping[str, Any]] = {
    "a billion items": {"type": "array", "items": _STRING, "minItems": 10**9},
    "a billion characters": {"type": "string", "minLength": 10**9, "maxLength": 10**9},
    "a pattern repeated a million times": {"type": "string", "pattern": "^(a{1,1000}){1,1000}$"},
}
