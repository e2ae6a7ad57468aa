"""Schemas that no finite value fulfils, such as `{"$ref": "#"}`: an engine would generate for ever, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from trivet.schemas.forms import Found
from trivet.schemas.places import SchemaProblem
from trivet.schemas.references import referred


def unsatisfiable(schema: Any, read: Mapping[int, Found]) -> Iterator[SchemaProblem]:
    """Those whose references go round without an end. `read`: all schemas of `schema`, by identity.

    Where one is optional, the engine would still be free to begin it, and stuck.

    Least fixed point: a schema has an end when enough of those below it have one. Each is looked at again only when
    one that it waits for gets an end, so the work is linear in the schema's size.
    """
    waiting: dict[int, int] = {}
    waited_for: dict[int, list[int]] = {}
    ended: list[int] = []
    for key, found in read.items():
        needs, enough = _needs(schema, found)
        for need in needs:
            waited_for.setdefault(id(need), []).append(key)
        waiting[key] = enough
        if enough == 0:
            ended.append(key)
    while ended:
        for key in waited_for.get(ended.pop(), ()):
            waiting[key] -= 1
            if waiting[key] == 0:
                ended.append(key)
    for key, found in read.items():
        if waiting[key] > 0:
            yield SchemaProblem(found.place, "no value can fulfil it: it refers to itself without an end")


def _needs(schema: Any, found: Found) -> tuple[list[Any], int]:
    """The schemas that it depends on, and how many of them must have an end."""
    node = found.node
    if found.form == "$ref":
        return [referred(schema, node["$ref"])], 1
    if found.form in ("anyOf", "oneOf"):
        return list(node[found.form]), 1
    if found.form == "allOf":
        return list(node["allOf"]), 1
    # Of several types it may be another one.
    return _of_type(node, found.types[0]) if len(found.types) == 1 else ([], 0)


def _of_type(node: dict[str, Any], name: str) -> tuple[list[Any], int]:
    if name == "object":
        properties = node.get("properties", {})
        needs = [properties[key] for key in dict.fromkeys(node.get("required", []))]
        return needs, len(needs)
    if name == "array":
        prefix, least = node.get("prefixItems", []), node.get("minItems", 0)
        needs = list(prefix[:least])
        if least > len(prefix):
            needs.append(node.get("items", node.get("unevaluatedItems", True)))
        needs = [need for need in needs if isinstance(need, dict)]
        return needs, len(needs)
    return [], 0
