"""Conditions on documents' fields, as routes and requests write them.

One of `{"all": [...]}`, `{"any": [...]}`, `{"not": ...}`, or a condition: `{"field": name, ...}` with one of `equals`,
`in` (a list of values), `prefix`, `exists` (true or false), or with bounds of a range, of `gt`, `gte`, `lt`, `lte`. A
field that a document does not have meets no condition but `exists: false`; `not` is met where what it holds is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from trivet.excerpt import quote
from trivet.types.metadata.fields import FieldType, FieldTypes, FieldValue, field_value

MAX_DEPTH = 4  # of all, any and not in one another, the condition included
MAX_CONDITIONS = 16  # conditions, with each value of `in` counted as one
MAX_BYTES = 8192  # of a request's
_BOUNDS = ("gt", "gte", "lt", "lte")
_KINDS = ("all", "any", "not", "field")
_TESTS = ("equals", "in", "prefix", "exists", *_BOUNDS)
_TEXTS = (FieldType.TEXT, FieldType.LIST)


class Test(Enum):
    """What a condition asks of a field: one of some values, a range, a beginning, or to be there at all."""

    __test__ = False  # it is no test of pytest's

    IN = "in"
    RANGE = "range"
    PREFIX = "prefix"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Condition:
    """`values`: of IN as many as there are, of PREFIX and EXISTS one; of RANGE one for each of `bounds`, which are gt,
    gte, lt, lte. As they were written, or in the type of the field once they are `bound`."""

    field: str
    test: Test
    values: tuple[Any, ...]
    bounds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of them. `kind`, here and below, tells one from another where only values are kept, as in a digest."""

    parts: tuple[Where, ...]
    kind: Literal["all"] = "all"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of them."""

    parts: tuple[Where, ...]
    kind: Literal["any"] = "any"


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: Where
    kind: Literal["not"] = "not"


Where = Condition | AllOf | AnyOf | Not


def parse_where(given: Any) -> Where:
    """Read conditions; raises ValueError for what is none, too deep or too many. Work is bounded before it begins."""
    left = [MAX_CONDITIONS]
    return _parse(given, MAX_DEPTH, left)


def bound(where: Where, types: FieldTypes) -> Where:
    """The same with values of the fields' types; raises ValueError for a field that is not declared, or a test or value
    that does not go with its type."""
    match where:
        case AllOf(parts):
            return AllOf(tuple(bound(part, types) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(bound(part, types) for part in parts))
        case Not(part):
            return Not(bound(part, types))
    type_ = types.get(where.field)
    if type_ is None:
        raise ValueError(f"field {quote(where.field)} is not declared in index.yaml, which has {_names(types)}")
    try:
        return Condition(where.field, where.test, _values(where, type_), where.bounds)
    except ValueError as error:
        raise ValueError(f"field {where.field!r}: {error}") from None


def conjunction(parts: Sequence[Where]) -> Where | None:
    """All of them in one, None if there are none."""
    return AllOf(tuple(parts)) if len(parts) > 1 else next(iter(parts), None)


def _values(condition: Condition, type_: FieldType) -> tuple[FieldValue, ...]:
    if condition.test is Test.EXISTS:
        return condition.values
    if condition.test is Test.PREFIX and type_ not in _TEXTS:
        raise ValueError(f"prefix of a {type_.value}, expected a field of text or list")
    if condition.test is Test.RANGE and type_ not in (FieldType.NUMBER, FieldType.DATE):
        raise ValueError(f"{condition.bounds[0]} of a {type_.value}, expected a field of number or date")
    # A list is asked for one text of it.
    one = FieldType.TEXT if type_ is FieldType.LIST else type_
    return tuple(field_value(one, value) for value in condition.values)


def _parse(given: Any, depth: int, left: list[int]) -> Where:
    if depth == 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if not isinstance(given, Mapping):
        raise ValueError(f"a {type(given).__name__}, expected an object with all, any, not or field")
    kinds = [kind for kind in _KINDS if kind in given]
    if len(kinds) != 1:
        found = ", ".join(quote(str(name)) for name in list(given)[:4]) or "nothing"
        raise ValueError(f"has {found}, expected exactly one of {', '.join(_KINDS)}")
    kind = kinds[0]
    if kind == "field":
        return _condition(given, left)
    if len(given) > 1:
        raise ValueError(f"{kind!r} stands beside other names, expected it alone")
    if kind == "not":
        return Not(_parse(given["not"], depth - 1, left))
    parts = given[kind]
    if not isinstance(parts, list | tuple) or not parts:
        raise ValueError(f"{kind!r} is not a list of conditions")
    if len(parts) > MAX_CONDITIONS:
        raise ValueError(f"{kind!r} has {len(parts):,} parts, expected at most {MAX_CONDITIONS}")
    read = tuple(_parse(part, depth - 1, left) for part in parts)
    return AllOf(read) if kind == "all" else AnyOf(read)


def _condition(given: Mapping[str, Any], left: list[int]) -> Condition:
    field = given["field"]
    if not isinstance(field, str):
        raise ValueError("'field' is not a text")
    tests = [name for name in given if name != "field"]
    unknown = next((name for name in tests if name not in _TESTS), None)
    if unknown is not None:
        raise ValueError(
            f"field {quote(field)}: unknown test {quote(str(unknown))}, expected one of {', '.join(_TESTS)}"
        )
    found = _test(field, given, tests)
    left[0] -= len(found.values) if found.test is Test.IN else 1
    if left[0] < 0:
        raise ValueError(f"more than {MAX_CONDITIONS} conditions, each value of `in` counted")
    return found


def _test(field: str, given: Mapping[str, Any], tests: Sequence[str]) -> Condition:
    bounds = tuple(name for name in _BOUNDS if name in tests)
    if bounds and len(bounds) == len(tests):
        if len({name[0] for name in bounds}) < len(bounds):
            raise ValueError(f"field {quote(field)}: two bounds on the same side, expected one")
        return Condition(field, Test.RANGE, tuple(given[name] for name in bounds), bounds)
    if len(tests) != 1:
        raise ValueError(f"field {quote(field)}: expected one test, or bounds of a range, got {len(tests)}")
    (name,) = tests
    value = given[name]
    if name == "in":
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"field {quote(field)}: 'in' is not a list of values")
        return Condition(field, Test.IN, tuple(value[: MAX_CONDITIONS + 1]))
    if name == "exists" and not isinstance(value, bool):
        raise ValueError(f"field {quote(field)}: 'exists' is neither true nor false")
    test = {"equals": Test.IN, "prefix": Test.PREFIX, "exists": Test.EXISTS}[name]
    return Condition(field, test, (value,))


def _names(types: FieldTypes) -> str:
    return ", ".join(types) or "none"
