"""What is wrong with a field, in words: what was expected and what was found. Secrets are never repeated."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from trivet.config.fields import patterns
from trivet.excerpt import quote_masked

_SECRET = re.compile(r"keys?|(api|.*_)key.*|.*_token|token|sha256|.*(secret|password|credential).*", re.IGNORECASE)
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping: `name: value` lines",
    "model_type": "a mapping: `field: value` lines",
    "model_attributes_type": "a mapping: `field: value` lines",
    "int_from_float": "a whole number",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def describe(
    error: Mapping[str, Any], location: Sequence[str | int], known: Sequence[str] = (), pattern: str | None = None
) -> str:
    """One of pydantic's errors.

    `known`: the fields there are, if the error is about one that is not among them. `pattern`: what text would have to
    match, if the error is about what is no text.
    """
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "string_type" and pattern is not None:
        kind, context = "string_pattern_mismatch", {"pattern": pattern}
        if isinstance(error["input"], int | float) and re.search(pattern, str(error["input"])):
            return f"expected text, got a number: write {str(error['input'])!r}, in quotes"
    if kind == "extra_forbidden":
        return f"unknown field{meant(str(location[-1]), known)}"
    if kind == "union_tag_invalid":
        return f"expected {context['expected_tags'].replace(', ', ' or ')}, got {quote_masked(context['tag'])}"
    if kind == "union_tag_not_found":
        return "required field is missing"
    if kind == "missing":
        return "required field is missing"
    return f"{_expected(kind, context, error['msg'])}{_found(error['input'], location)}"


def meant(name: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown name: the known one that it is close to, or all of them."""
    if close := difflib.get_close_matches(name, known, n=1):
        return f", did you mean {close[0]}?"
    return f", expected one of: {', '.join(sorted(known))}" if known else ""


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"expected {words} {context[name]:,}"
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"expected {patterns.WORDS.get(pattern, f'text that matches {pattern}')}"
    if kind in {"too_short", "string_too_short"}:
        return f"expected at least {_entries(context['min_length'])}" if kind == "too_short" else "expected text"
    if kind in {"too_long", "string_too_long"}:
        most = context["max_length"]
        return f"expected at most {_entries(most) if kind == 'too_long' else f'{most:,} characters'}"
    if kind in {"literal_error", "enum"}:
        return f"expected {context['expected']}"
    if kind == "value_error":
        return str(context["error"])
    return message[0].lower() + message[1:]


def _entries(count: int) -> str:
    return f"{count:,} {'entry' if count == 1 else 'entries'}"


def _found(value: Any, location: Sequence[str | int]) -> str:
    """What stands there, unless it may be a secret that was put into the wrong place."""
    if any(isinstance(part, str) and _SECRET.fullmatch(part) for part in location):
        return ""
    if isinstance(value, Mapping):
        return ", got a mapping"
    if isinstance(value, list):
        return ", got a list"
    if value is None:
        return ", got nothing"
    return f", got {quote_masked(value)}"
