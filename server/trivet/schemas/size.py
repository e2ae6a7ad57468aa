"""The size of a schema, and that it is JSON at all. Nothing here recurses: a schema may be nested without end."""

from __future__ import annotations

import json
import math

from trivet.schemas.limits import SchemaLimits
from trivet.schemas.places import Place, SchemaProblem


def size_problem(schema: object, limits: SchemaLimits) -> SchemaProblem | None:
    """What is no JSON or exceeds a bound of the whole, the first that is met; linear in the schema's size."""
    stack: list[tuple[object, Place | None, str | int, int]] = [(schema, None, "", 1)]
    met = 0  # each value takes a byte at least; YAML's aliases may stand for more of them than there is memory
    while stack:
        value, above, key, depth = stack.pop()
        met += 1
        if met > limits.max_bytes:
            return SchemaProblem(Place(), f"has more than {limits.max_bytes:,} bytes as JSON (max_bytes)")
        if value is None or isinstance(value, str | bool):  # most of a large schema: no place is made for them
            continue
        place = Place() if above is None else above.at(key)
        if isinstance(value, dict | list):
            if depth > limits.max_depth:
                return SchemaProblem(place, f"nested deeper than {limits.max_depth} (max_depth)")
            if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
                return SchemaProblem(place, "has a key that is not text")
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack.extend((item, place, name, depth + 1) for name, item in items)
        elif isinstance(value, float) and not math.isfinite(value):
            return SchemaProblem(place, "is not a finite number")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            return SchemaProblem(place, "is an integer of more than 64 bits")
        elif not isinstance(value, int | float):
            return SchemaProblem(place, f"is a {type(value).__name__}, which JSON does not have")
    size = len(schema_text(schema).encode(errors="surrogatepass"))
    if size > limits.max_bytes:
        return SchemaProblem(Place(), f"has {size:,} bytes as JSON, expected at most {limits.max_bytes:,} (max_bytes)")
    return None


def schema_text(schema: object) -> str:
    """Its JSON, in the order of its fields: objects are generated in it."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
