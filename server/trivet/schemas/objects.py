"""Objects: which of their keywords are enforced together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivet.schemas.keywords import ANNOTATIONS
from trivet.schemas.places import Place, SchemaProblem, shown

_OPENING = ("additionalProperties", "unevaluatedProperties")


def object_problems(node: dict[str, Any], place: Place) -> Iterator[SchemaProblem]:
    """What of an object's keywords the compiler does not enforce; `node` may be of another type."""
    properties = node.get("properties", {})
    if not isinstance(properties, dict):
        yield SchemaProblem(place.at("properties"), "expected an object of schemas")
        return
    required = node.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield SchemaProblem(place.at("required"), "expected a list of names")
        return
    for number, name in enumerate(required):
        if name not in properties:
            yield SchemaProblem(
                place.at("required", number), f"{shown(name)!r} is not enforced: it is not in properties"
            )
    if all(keyword in node for keyword in _OPENING):
        yield SchemaProblem(place.at(_OPENING[1]), f"is not enforced beside {_OPENING[0]}")
    # An engine may write a name twice that is not in `properties`, and two of the same count as one.
    if "minProperties" in node and ("properties" not in node or list(_open(node))):
        yield SchemaProblem(
            place.at("minProperties"), "is enforced where properties names them all, and no others may come"
        )
    yield from _pattern_problems(node, place)
    yield from _name_problems(node, place)


def _open(node: dict[str, Any]) -> Iterator[str]:
    yield from (keyword for keyword in _OPENING if node.get(keyword, False) is not False)
    yield from (keyword for keyword in ("patternProperties", "propertyNames") if keyword in node)


def _pattern_problems(node: dict[str, Any], place: Place) -> Iterator[SchemaProblem]:
    if "patternProperties" not in node:
        return
    at = place.at("patternProperties")
    patterns = node["patternProperties"]
    if not isinstance(patterns, dict) or len(patterns) != 1:
        yield SchemaProblem(at, "is enforced with one pattern")
    named = ("properties", "propertyNames")
    beside = [keyword for keyword in (*named, *_OPENING) if node.get(keyword, False) is not False]
    if beside:
        yield SchemaProblem(at, f"is not enforced beside {beside[0]}")


def _name_problems(node: dict[str, Any], place: Place) -> Iterator[SchemaProblem]:
    if "propertyNames" not in node:
        return
    at, names = place.at("propertyNames"), node["propertyNames"]
    choice = names.get("enum") if isinstance(names, dict) and names.keys() - ANNOTATIONS <= {"enum", "type"} else None
    if not isinstance(choice, list) or not choice or not all(isinstance(name, str) for name in choice):
        yield SchemaProblem(at, "is enforced as an enum of names alone")
    beside = [name for name in ("properties", "unevaluatedProperties") if name in node]
    if beside:
        yield SchemaProblem(at, f"is not enforced beside {beside[0]}")


def object_children(node: dict[str, Any], place: Place) -> Iterator[tuple[Any, Place, str | None]]:
    """The schemas right below it, in the order of the text."""
    for keyword in ("properties", "patternProperties"):
        schemas = node.get(keyword)
        if isinstance(schemas, dict):
            for name, schema in schemas.items():
                yield schema, place.at(keyword, name), None
    for keyword in _OPENING:
        if not isinstance(node.get(keyword, False), bool):
            yield node[keyword], place.at(keyword), None
    if isinstance(node.get("propertyNames"), dict):
        yield node["propertyNames"], place.at("propertyNames"), "string"
