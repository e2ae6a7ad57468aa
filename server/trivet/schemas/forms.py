"""One schema of a schema: its form, what stands beside what, and the schemas right below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from trivet.schemas.branches import exclusive
from trivet.schemas.keywords import (
    ANNOTATIONS,
    COMPOUND,
    DEFINITIONS,
    FORMATS,
    IMPLIED_TYPES,
    KEYWORDS_OF_TYPE,
    LONGEST_COUNT,
    NOT_ENFORCED,
)
from trivet.schemas.limits import SchemaLimits
from trivet.schemas.objects import object_children, object_problems
from trivet.schemas.patterns.check import pattern_problem
from trivet.schemas.places import Place, SchemaProblem, shown
from trivet.schemas.values import matches_type

Child = tuple[Any, Place, str | None]  # with the type that is meant where none is told
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})


@dataclass(slots=True)
class Found:
    """What one schema was read as. `form` is a compound keyword, else empty; `types` of the values that it allows."""

    node: Any
    place: Place
    form: str = ""
    types: tuple[str, ...] = ()
    problems: list[SchemaProblem] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    values: int = 0
    properties: int = 0


def read_form(node: Any, place: Place, implied: str | None, limits: SchemaLimits) -> Found:
    """Read one schema. `implied`: the type that the schema above implies."""
    found = Found(node, place)
    if node is True:
        return found
    if not isinstance(node, dict):
        expected = "false fits no value" if node is False else "expected a schema (an object)"
        found.problems.append(SchemaProblem(place, expected))
        return found
    found.form = next((keyword for keyword in COMPOUND if keyword in node), "")
    found.problems += _definitions(found)
    if found.form:
        found.problems += _compound(found)
    else:
        found.types = _types(node, implied)
        found.problems += _typed(found, limits)
    return found


def _definitions(found: Found) -> Iterator[SchemaProblem]:
    for keyword in DEFINITIONS:
        schemas = found.node.get(keyword, {})
        if not isinstance(schemas, dict):
            yield SchemaProblem(found.place.at(keyword), "expected an object of schemas")
            continue
        found.children += [(schema, found.place.at(keyword, name), None) for name, schema in schemas.items()]


def _beside(found: Found, allowed: frozenset[str]) -> Iterator[SchemaProblem]:
    """What stands in a schema and would be passed over."""
    for keyword in found.node:
        if keyword in allowed or keyword in ANNOTATIONS or keyword in DEFINITIONS or keyword.startswith("x-"):
            continue
        if keyword == "$id" and found.place.parent is None:
            continue
        where = found.place.at(keyword)
        if found.form:
            yield SchemaProblem(where, f"is not enforced beside {found.form}")
        elif keyword in NOT_ENFORCED or not any(keyword in known for known in KEYWORDS_OF_TYPE.values()):
            yield SchemaProblem(where, "is not enforced")
        else:
            meant = " or ".join(found.types) or "that is not told"
            yield SchemaProblem(where, f"does not apply to a type {meant}")


def _compound(found: Found) -> Iterator[SchemaProblem]:
    node, place, form = found.node, found.place, found.form
    beside = {form, "type"} if form in ("const", "enum") else {form}
    yield from _beside(found, frozenset(beside))
    content = node[form]
    if form == "$ref":
        if not isinstance(content, str):
            yield SchemaProblem(place.at(form), "expected a text")
    elif form == "const":
        found.values = 1
        yield from _of_type(found, [content])
    elif not isinstance(content, list) or not content:
        yield SchemaProblem(place.at(form), "expected a list with something in it")
    elif form == "enum":
        found.values = len(content)
        yield from _of_type(found, content)
    else:
        found.children += [(branch, place.at(form, number), None) for number, branch in enumerate(content)]
        if form == "allOf" and len(content) > 1:
            yield SchemaProblem(place.at(form), "is enforced with one branch only")
        if form == "oneOf" and not exclusive(content):
            told = "is enforced where the branches exclude each other by plain types, by their values, or by one"
            yield SchemaProblem(place.at(form), f"{told} required property with a const of its own in each; use anyOf")


def _of_type(found: Found, values: list[Any]) -> Iterator[SchemaProblem]:
    """A type beside `const` or `enum` is passed over: it may only tell what the values are."""
    told = found.node.get("type")
    if told is None:
        return
    types = told if isinstance(told, list) else [told]
    if not all(any(matches_type(value, name) for name in types if isinstance(name, str)) for value in values):
        yield SchemaProblem(
            found.place.at("type"), f"is not enforced beside {found.form}, and not all values are of it"
        )


def _types(node: dict[str, Any], implied: str | None) -> tuple[str, ...]:
    told = node.get("type")
    if isinstance(told, list):
        return tuple(name for name in told if isinstance(name, str))
    if isinstance(told, str):
        return (told,)
    meant = implied or next((IMPLIED_TYPES[keyword] for keyword in IMPLIED_TYPES if keyword in node), None)
    return () if meant is None else (meant,)


def _typed(found: Found, limits: SchemaLimits) -> Iterator[SchemaProblem]:
    node, place = found.node, found.place
    told = node.get("type", "any")
    if (isinstance(told, list) and len(found.types) != len(told)) or told == []:
        yield SchemaProblem(place.at("type"), "expected a name or a list of names")
        return
    for name in found.types:
        if name not in KEYWORDS_OF_TYPE:
            yield SchemaProblem(
                place.at("type"), f"{shown(name)!r} is not a type; known: {', '.join(KEYWORDS_OF_TYPE)}"
            )
            return
    if not isinstance(told, str | list):
        yield SchemaProblem(place.at("type"), "expected a name or a list of names")
        return
    allowed = frozenset({"type"}).union(*(KEYWORDS_OF_TYPE[name] for name in found.types))
    beside = list(_beside(found, allowed))
    yield from beside
    if beside:
        return
    yield from _numbers(found)
    yield from _text(found, limits)
    yield from _array(found)
    yield from object_problems(node, place)
    patterns = node.get("patternProperties")
    for pattern in patterns if isinstance(patterns, dict) else ():
        yield from pattern_problems(pattern, place.at("patternProperties", pattern), limits)
    found.children += object_children(node, place)
    found.properties = len(node["properties"]) if isinstance(node.get("properties"), dict) else 0


def _numbers(found: Found) -> Iterator[SchemaProblem]:
    for keyword in sorted(_COUNTS & found.node.keys()):
        value = found.node[keyword]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LONGEST_COUNT:
            yield SchemaProblem(found.place.at(keyword), f"expected a whole number from 0 to {LONGEST_COUNT}")
    for keyword in sorted(_NUMBERS & found.node.keys()):
        value = found.node[keyword]
        whole = "integer" in found.types
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield SchemaProblem(found.place.at(keyword), f"expected a {'whole ' if whole else ''}number")


def _text(found: Found, limits: SchemaLimits) -> Iterator[SchemaProblem]:
    node, place = found.node, found.place
    for keyword in ("pattern", "format"):
        if keyword in node and not isinstance(node[keyword], str):
            yield SchemaProblem(place.at(keyword), "expected a text")
            return
    if "format" in node and node["format"] not in FORMATS:
        yield SchemaProblem(
            place.at("format"), f"{shown(node['format'])!r} is not enforced; known: {', '.join(sorted(FORMATS))}"
        )
    if "pattern" in node:
        yield from pattern_problems(node["pattern"], place.at("pattern"), limits)
    exact = [keyword for keyword in ("pattern", "format") if keyword in node]
    also = [keyword for keyword in ("format", "minLength", "maxLength") if keyword in node and keyword not in exact[:1]]
    if exact and also:
        yield SchemaProblem(place.at(also[0]), f"is not enforced beside {exact[0]}")


def pattern_problems(pattern: str, place: Place, limits: SchemaLimits) -> Iterator[SchemaProblem]:
    """Of one regular expression."""
    if len(pattern) > limits.max_pattern_length:
        told = f"has {len(pattern):,} characters, expected at most {limits.max_pattern_length:,} (max_pattern_length)"
        yield SchemaProblem(place, told)
    elif (problem := pattern_problem(pattern)) is not None:
        yield SchemaProblem(place, problem)


def _array(found: Found) -> Iterator[SchemaProblem]:
    node, place = found.node, found.place
    if "items" in node and "unevaluatedItems" in node:
        yield SchemaProblem(place.at("unevaluatedItems"), "is not enforced beside items")
    for keyword in ("items", "unevaluatedItems"):
        if keyword in node and node[keyword] is not False:
            found.children.append((node[keyword], place.at(keyword), None))
    prefix = node.get("prefixItems", [])
    if not isinstance(prefix, list) or not all(isinstance(item, dict) for item in prefix):
        yield SchemaProblem(place.at("prefixItems"), "expected a list of schemas (objects)")
        return
    found.children += [(item, place.at("prefixItems", number), None) for number, item in enumerate(prefix)]
