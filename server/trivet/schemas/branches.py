"""Whether the branches of a `oneOf` exclude each other, as far as the grammar compiler can tell. Linear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivet.schemas.keywords import ANNOTATIONS, COMPOUND
from trivet.schemas.values import identity, type_of

_REFERRING = frozenset(COMPOUND) - {"const", "enum"}


def exclusive(branches: list[Any]) -> bool:
    """By their plain types and values, or by a property that tells them apart."""
    return _by_type_or_value(branches) or any(_by_property(branches, name) for name in _candidates(branches[0]))


def _by_type_or_value(branches: list[Any]) -> bool:
    types: set[str] = set()
    values: set[str] = set()
    value_types: set[str] = set()
    for branch in branches:
        found = _values(branch)
        if found is not None:
            own, own_types = {identity(value) for value in found}, {type_of(value) for value in found}
            if own & values or own_types & types or not _comparable(found):
                return False
            values |= own
            value_types |= own_types
            continue
        plain = _plain_types(branch)
        if plain is None or plain & types or plain & value_types:
            return False
        types |= plain
    return True


def _by_property(branches: list[Any], name: str) -> bool:
    seen: set[str] = set()
    for branch in branches:
        found = _told_by(branch, name)
        if found is None or not _comparable(found):
            return False
        own = {identity(value) for value in found}
        if own & seen:
            return False
        seen |= own
    return True


def _candidates(branch: Any) -> Iterator[str]:
    required = branch.get("required") if isinstance(branch, dict) else None
    names = required if isinstance(required, list) else []
    tell = (name for name in names if isinstance(name, str) and _told_by(branch, name) is not None)
    for number, name in enumerate(tell):
        if number == 8:  # each costs a look at all branches
            return
        yield name


def _told_by(branch: Any, name: str) -> list[Any] | None:
    if not isinstance(branch, dict) or branch.get("type") != "object" or branch.keys() & _REFERRING:
        return None
    required, properties = branch.get("required"), branch.get("properties")
    if not isinstance(required, list) or name not in required or not isinstance(properties, dict):
        return None
    return _values(properties.get(name))


def _values(branch: Any) -> list[Any] | None:
    if not isinstance(branch, dict) or branch.keys() & _REFERRING:
        return None
    if "const" in branch:
        return [branch["const"]]
    values = branch.get("enum")
    return values if isinstance(values, list) and values else None


def _comparable(values: list[Any]) -> bool:
    """The compiler does not tell fractions apart."""
    return not any(isinstance(value, float) for value in values)


def _plain_types(branch: Any) -> set[str] | None:
    if not isinstance(branch, dict) or branch.keys() - ANNOTATIONS != {"type"}:
        return None
    told = branch["type"] if isinstance(branch["type"], list) else [branch["type"]]
    names = {"number" if name == "integer" else name for name in told if isinstance(name, str)}
    return None if "object" in names or not names else names
