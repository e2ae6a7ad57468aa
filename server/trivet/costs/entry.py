"""What a report needs of one line of the request log: a receipt, or a statement of a machine's time."""

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
    """A receipt, as far as costs and waits go. Tokens are None where they are not known; costs: nano-USD by component.

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
    ttft_ms: float | None = None
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """What a machine's time has gone to since its server started: nanoseconds and nano-USD by account.

    `run` tells servers apart, `number` its statements, from 1 on.
    """

    machine: str
    run: str
    number: int
    at: datetime
    nanoseconds: Mapping[str, int]
    nano_usd: Mapping[str, int]


class Damaged(ValueError):
    """A line that is neither a receipt nor a statement."""


def read_line(line: bytes) -> Entry | Statement:
    """Raises Damaged for what is neither, or for a receipt whose cost is not the sum of its parts."""
    try:
        data = json.loads(line)
        return _statement(data) if "machine" in data else _entry(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(str(error)) from error


def _statement(data: Any) -> Statement:
    sums = [{name: _count(value) for name, value in data[key].items()} for key in ("nanoseconds", "nano_usd")]
    machine, run = data["machine"], data["run"]
    if type(machine) is not str or type(run) is not str:
        raise Damaged("a name is no text")
    return Statement(machine, run, _count(data["number"]), _time(data["at"]), *sums)


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise Damaged("its time has no time zone")
    return at.astimezone(UTC)


def _entry(data: Any) -> Entry:
    at = _time(data["created_at"])
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
    degraded = data.get("degraded", [])
    if type(degraded) is not list or not all(type(reason) is str for reason in degraded):
        raise Damaged("what was degraded is no list of texts")
    took = _milliseconds(data.get("ttft_ms"))
    return Entry(at, fields, labels, code, given, cached, output, cost, total, took, tuple(degraded))


def _tokens(data: Mapping[str, Any], name: str) -> int | None:
    return None if data.get(name) is None else _count(data[name])


def _milliseconds(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise Damaged(f"expected milliseconds, got {value!r:.40}")
    return float(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise Damaged(f"expected a whole number from 0 on, got {value!r:.40}")
    return value
