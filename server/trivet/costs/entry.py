"""What a report needs of one line of the request log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

UNKNOWN = "unknown"
_BEFORE_ROUTING = frozenset({"NOT_FOUND", "PERMISSION_DENIED", "INVALID_ARGUMENT"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A receipt, as far as costs go. Tokens are None where they are not known; costs are nano-USD by component.

    `total` is None where no component is known. `fields` has the receipt's texts by their names.
    """

    at: datetime
    fields: Mapping[str, str]
    labels: Mapping[str, str]
    code: str
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    cost: Mapping[str, int]
    total: int | None


class Damaged(ValueError):
    """A line that is no receipt."""


def read_entry(line: bytes) -> Entry:
    """Raises Damaged for what is no receipt, or whose cost is not the sum of its parts."""
    try:
        data = json.loads(line)
        return _entry(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(str(error)) from error


def _entry(data: Any) -> Entry:
    at = datetime.fromisoformat(data["created_at"])
    if at.tzinfo is None:
        raise Damaged("its time has no time zone")
    cost = {name: _count(value) for name, value in data.get("cost", {}).items() if name != "basis"}
    total = cost.pop("total", None)
    if total != (sum(cost.values()) if cost else None):
        raise Damaged("its cost is not the sum of its parts")
    fields = {name: value for name, value in data.items() if type(value) is str}
    code = fields["code"]
    if code in _BEFORE_ROUTING and not fields.get("variant"):
        fields["route"] = UNKNOWN  # whatever a client called it: there may be none of that name
    if account := fields.get("account"):
        fields["tenant"] = f"({account})"  # whose request it was bears none of it
    labels = data.get("labels", {})
    if not all(type(value) is str for value in labels.values()):
        raise Damaged("a label is no text")
    given, cached, output = (_tokens(data, name) for name in ("input_tokens", "cached_tokens", "output_tokens"))
    if (cached or 0) > (given or 0):
        raise Damaged("more tokens were cached than came in")
    return Entry(at.astimezone(UTC), fields, labels, code, given, cached, output, cost, total)


def _tokens(data: Mapping[str, Any], name: str) -> int | None:
    return None if data.get(name) is None else _count(data[name])


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Damaged(f"expected a whole number from 0 on, got {value!r:.40}")
    return value
