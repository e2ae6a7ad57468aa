"""What a file's schema says of a place in it: which fields there may be, and of what form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel


def known_fields(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The names that `model` knows for the section at `location`; empty if it is none of its sections."""
    return list(dict.fromkeys(name for place in _places(model, location) for name in place.get("properties", {})))


def pattern_at(model: type[BaseModel], location: Sequence[str | int]) -> str | None:
    """The regular expression that a text at `location` has to match; None if there is none."""
    return next((place["pattern"] for place in _places(model, location) if "pattern" in place), None)


def _places(model: type[BaseModel], location: Sequence[str | int]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    places = list(_alternatives(schema, schema))
    for part in location:
        places = [inner for place in places for inner in _inside(schema, place, part)]
    return places


def _inside(schema: dict[str, Any], place: dict[str, Any], part: str | int) -> Iterator[dict[str, Any]]:
    properties = place.get("properties", {})
    inner = [place.get("items")] if isinstance(part, int) else [properties.get(part, place.get("additionalProperties"))]
    if isinstance(part, str) and part not in properties:
        inner += place.get("patternProperties", {}).values()  # a mapping whose names have a form
    for one in inner:
        if isinstance(one, dict):
            yield from _alternatives(schema, one)


def _alternatives(schema: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The place itself, or what it refers to or is a union of."""
    if "$ref" in place:
        place = schema["$defs"][place["$ref"].rpartition("/")[2]]
    options = [*place.get("anyOf", ()), *place.get("oneOf", ()), *place.get("allOf", ())]
    if not options:
        yield place
    for option in options:
        yield from _alternatives(schema, option)
