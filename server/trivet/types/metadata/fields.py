"""Fields of documents: typed as their index declares them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from enum import Enum
from typing import Any

from trivet.excerpt import quote

FIELD_NAME = r"[a-z][a-z0-9_]{0,31}"
MAX_FIELDS = 16  # of an index: each is a payload index of its collection
MAX_GIVEN = 64  # that a document may give; those of its front matter that the index does not declare are left out
MAX_TEXT = 256  # characters
MAX_ITEMS = 32  # of a list
_MAX_NUMBER = 2**53  # beyond, two numbers would be the same one to the engine

FieldValue = str | float | bool | tuple[str, ...]
"""Text in Unicode's normal form NFC; a number; a date as seconds since 1970; a truth value; the texts of a list."""


class FieldType(Enum):
    """What a field holds. A list is of texts."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    BOOL = "bool"
    LIST = "list"


FieldTypes = Mapping[str, FieldType]


def field_value(type_: FieldType, given: Any) -> FieldValue:
    """A value as JSON or YAML has it, in its type; raises ValueError, saying what was expected."""
    return _READERS[type_](given)


def field_values(types: FieldTypes, given: Mapping[str, Any]) -> dict[str, FieldValue]:
    """The fields of a document; raises ValueError for the first that is not declared or has another type's value."""
    found: dict[str, FieldValue] = {}
    for name, value in given.items():
        if name not in types:
            declared = ", ".join(types) or "none"
            raise ValueError(f"field {quote(name)} is not declared in index.yaml, which has {declared}")
        try:
            found[name] = field_value(types[name], value)
        except ValueError as error:
            raise ValueError(f"field {name!r}: {error}") from None
    return found


def fitting_values(types: FieldTypes, given: Mapping[str, Any]) -> dict[str, FieldValue]:
    """Those of the fields that are declared and have a value of their type; the others are left out."""
    found: dict[str, FieldValue] = {}
    for name, value in given.items():
        try:
            found |= field_values(types, {name: value})
        except ValueError:
            continue
    return found


def parse_date(given: str) -> float:
    """An ISO 8601 date (its midnight in UTC) or an RFC 3339 time, as seconds since 1970; raises ValueError."""
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or (moment.tzinfo is None and len(given) > len("2026-01-31")):
        raise ValueError(f"{quote(given)}, expected a date like 2026-01-31 or a time like 2026-01-31T00:00:00Z")
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"{_told(given)}, expected a text")
    text = unicodedata.normalize("NFC", given)
    if not 1 <= len(text) <= MAX_TEXT:
        raise ValueError(f"a text of {len(text):,} characters, expected 1 to {MAX_TEXT}")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{quote(text)} is not text: it has a NUL character or half a surrogate pair")
    return text


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"{_told(given)}, expected a number")
    if not abs(given) <= _MAX_NUMBER:  # not a number is none either
        raise ValueError(f"{_told(given)}, expected a number from -2^53 to 2^53")
    return float(given)


def _date(given: Any) -> float:
    if isinstance(given, datetime):
        return (given if given.tzinfo is not None else given.replace(tzinfo=UTC)).timestamp()
    if isinstance(given, date):
        return datetime.combine(given, time(), UTC).timestamp()
    if not isinstance(given, str):
        raise ValueError(f"{_told(given)}, expected a date like 2026-01-31 or a time like 2026-01-31T00:00:00Z")
    return parse_date(given)


def _bool(given: Any) -> bool:
    if not isinstance(given, bool):
        raise ValueError(f"{_told(given)}, expected true or false")
    return given


def _list(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{_told(given)}, expected a list of texts")
    if len(given) > MAX_ITEMS:
        raise ValueError(f"a list of {len(given):,}, expected at most {MAX_ITEMS}")
    return tuple(dict.fromkeys(_text(item) for item in given))


def _told(given: Any) -> str:
    """A value for people."""
    if isinstance(given, str):
        return quote(given)
    if isinstance(given, float) and not math.isfinite(given):
        return str(given)
    return f"{given}" if isinstance(given, int | float) else f"a {type(given).__name__}"


_READERS: Mapping[FieldType, Callable[[Any], FieldValue]] = {
    FieldType.TEXT: _text,
    FieldType.NUMBER: _number,
    FieldType.DATE: _date,
    FieldType.BOOL: _bool,
    FieldType.LIST: _list,
}
