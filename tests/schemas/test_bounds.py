"""Bounds on a schema: each is told with its place, and nothing is done that a large one makes long."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from trivet.schemas.check import schema_problems
from trivet.schemas.limits import SchemaLimits

SMALL = SchemaLimits(max_bytes=500, max_depth=8, max_schemas=10, max_values=6, max_properties=5, max_pattern_length=12)


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(levels):
        schema = {"anyOf": [schema]}
    return schema


CASES: dict[str, tuple[Any, str, str]] = {
    "bytes": ({"description": "d" * 500}, "/", "max_bytes"),
    "depth": (nested(4), "/anyOf/0/anyOf/0/anyOf/0/anyOf/0", "max_depth"),
    "depth of a value": ({"const": [[[[[[[[]]]]]]]]}, "/const/0/0/0/0/0/0/0", "max_depth"),
    "schemas": ({"anyOf": [{"type": "null"} for _ in range(11)]}, "/anyOf/9", "max_schemas"),
    "values": ({"anyOf": [{"enum": [1, 2, 3, 4, 5]}, {"enum": [6, 7]}]}, "/anyOf/1", "max_values"),
    "properties": ({"type": "object", "properties": {f"p{n}": True for n in range(6)}}, "/", "max_properties"),
    "pattern": ({"items": {"type": "string", "pattern": "a" * 13}}, "/items/pattern", "max_pattern_length"),
    "not finite": ({"const": float("nan")}, "/const", "finite"),
    "long integer": ({"const": 2**64}, "/const", "64 bits"),
    "no JSON": ({"const": {1: 2}}, "/const", "not text"),
    "no JSON value": ({"const": {1, 2}}, "/const", "set"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_exceeds_a_bound_is_refused_with_its_place(name: str) -> None:
    schema, place, text = CASES[name]
    (problem,) = schema_problems(schema, SMALL)
    assert str(problem.place) == place
    assert text in problem.text


def test_nesting_without_end_is_refused_and_not_recursed_into() -> None:
    schema = nested(10 * sys.getrecursionlimit())
    (problem,) = schema_problems(schema, SchemaLimits())
    assert "max_depth" in problem.text


def test_a_list_that_stands_in_itself_again_and_again_is_not_walked_through() -> None:
    doubled: list[Any] = []
    for _ in range(30):
        doubled = [doubled, doubled]  # as YAML's aliases make it: 2**30 values in a few bytes
    (problem,) = schema_problems({"const": doubled}, replace(SchemaLimits(), max_depth=64))
    assert "max_bytes" in problem.text


def test_a_place_in_a_message_is_short_and_printable() -> None:
    schema = {"type": "object", "properties": {"a/b~c\n" + "x" * 3000: {"type": "nothing"}}}
    (problem,) = schema_problems(schema, SchemaLimits())
    assert str(problem.place).startswith("/properties/a~1b~0c\\nxxx")
    assert len(str(problem)) < 500
    assert str(problem).isprintable()


WIDE: dict[str, Callable[[int], Any]] = {
    "properties": lambda n: {"type": "object", "properties": {f"p{i}": {"type": "null"} for i in range(n)}},
    "chain of references": lambda n: {
        "$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(n)} | {f"d{n}": {"type": "null"}},
        "$ref": "#/$defs/d0",
    },
    "kinds": lambda n: {
        "oneOf": [{"type": "object", "properties": {"k": {"const": i}}, "required": ["k"]} for i in range(n)]
    },
    "values": lambda n: {"enum": list(range(n))},
    "pattern": lambda n: {"type": "string", "pattern": "(a+)" * n},
}


@pytest.mark.parametrize("name", WIDE)
def test_work_grows_with_the_size_alone(name: str) -> None:
    """Calls made, not seconds: four times the schema takes at most some five times the calls."""
    huge = 1 << 30
    limits = SchemaLimits(huge, 32, huge, huge, huge, huge)
    small, large = (_calls(lambda n=n: schema_problems(WIDE[name](n), limits)) for n in (100, 400))  # type: ignore[misc]
    assert large < 5 * small


def _calls(work: Callable[[], list[Any]]) -> int:
    count = 0

    def count_calls(*_: Any) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(count_calls)
    try:
        problems = work()
    finally:
        sys.setprofile(before)
    assert problems == []
    return count
