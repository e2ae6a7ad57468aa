"""References: to schemas of the same document alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trivet.schemas.forms import Found
from trivet.schemas.places import SchemaProblem, shown


def reference_problems(schema: Any, read: Mapping[int, Found]) -> Iterator[SchemaProblem]:
    """Those that lead out of the document, to nothing, or to what is no schema. `read`: all schemas, by identity."""
    for found in read.values():
        if found.form != "$ref":
            continue
        at, target = found.place.at("$ref"), found.node["$ref"]
        if target != "#" and not target.startswith("#/"):
            yield SchemaProblem(at, f"{shown(target)!r} is not in this document, expected # or #/...")
        elif "~" in target or "%" in target or "//" in target or (target != "#" and target.endswith("/")):
            yield SchemaProblem(at, f"{shown(target)!r}: escaped and empty names in references are not supported")
        elif id(referred(schema, target)) not in read:
            yield SchemaProblem(at, f"{shown(target)!r} leads to no schema")


def referred(schema: Any, target: str) -> Any:
    """What `#` or `#/a/b` stands for; None if nothing. Members of lists cannot be referred to."""
    for part in target[2:].split("/") if target != "#" else ():
        if not isinstance(schema, dict) or part not in schema:
            return None
        schema = schema[part]
    return schema
