"""Sums of receipts by what they have in common. All sums are integers: groups add up to the log exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trivet.costs.entry import Entry
from trivet.errors import InvalidRequest

MOST_GROUPS = 10_000
OTHERS = "(others)"
NONE = "-"
LABEL = "label:"
FAILURES = frozenset({"UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"})
"""The server's: not a client's mistake, nor one that left, nor a limit that holds."""


@dataclass(slots=True)
class Sums:
    """Of some requests. `failed`: by the server's fault. `unpriced`: of unknown cost. `cost`: nano-USD by part."""

    requests: int = 0
    failed: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: Counter[str] = field(default_factory=Counter)
    total: int = 0

    def add(self, entry: Entry) -> None:
        """One more request."""
        self.requests += 1
        self.failed += entry.code in FAILURES
        self.input_tokens += entry.input_tokens or 0
        self.cached_tokens += entry.cached_tokens or 0
        self.output_tokens += entry.output_tokens or 0
        if entry.total is None:
            self.unpriced += 1
        else:
            self.total += entry.total
            self.cost.update(entry.cost)

    def merge(self, other: Sums) -> None:
        """All of the other's requests as well."""
        for name in ("requests", "failed", "unpriced", "input_tokens", "cached_tokens", "output_tokens", "total"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cost.update(other.cost)


Group = tuple[str, ...]


class Groups:
    """Sums by group, at most `most` of them: what is beyond is summed up in a last one, so that nothing is lost."""

    def __init__(self, by: Sequence[str], most: int = MOST_GROUPS) -> None:
        """`by`: names of `DIMENSIONS`, or `label:NAME`. Raises InvalidRequest for another one."""
        self.by = tuple(by)
        self.sums: dict[Group, Sums] = {}
        self.total = Sums()
        self._readers = [_reader(name) for name in by]
        self._most = most

    def add(self, entry: Entry) -> None:
        """One more request."""
        self.total.add(entry)
        group = tuple(read(entry) for read in self._readers)
        sums = self.sums.get(group)
        if sums is None:
            if len(self.sums) >= self._most:
                group = self.others
            sums = self.sums.setdefault(group, Sums())
        sums.add(entry)

    @property
    def others(self) -> Group:
        """The group of what is beyond."""
        return (OTHERS,) * len(self.by)

    def ordered(self, top: int | None = None) -> list[tuple[Group, Sums]]:
        """By time where the first dimension is one, else the dearest first. Beyond the `top` dearest: in one group."""
        dearest = sorted(self.sums.items(), key=lambda item: (item[0] == self.others, -item[1].total, item[0]))
        shown, rest = (dearest, []) if top is None else (dearest[:top], dearest[top:])
        if self.by and self.by[0] in _TIMES:
            shown.sort(key=lambda item: (item[0] == self.others, item[0]))
        if rest:
            together = Sums()
            for _, sums in [*rest, *(item for item in shown if item[0] == self.others)]:
                together.merge(sums)
            shown = [item for item in shown if item[0] != self.others] + [(self.others, together)]
        return shown


def _field(name: str) -> Callable[[Entry], str]:
    return lambda entry: entry.fields.get(name) or NONE


def _bearer(entry: Entry) -> str:
    """Who bears the cost: the tenant, unless it is on an account of its own, such as that of copies."""
    account = entry.fields.get("account")
    return f"({account})" if account else entry.fields.get("tenant") or NONE


DIMENSIONS: dict[str, Callable[[Entry], str]] = {
    **{
        name: _field(name)
        for name in ("route", "variant", "backend", "node", "adapter", "prompt", "index", "use", "account")
    },
    "tenant": _bearer,
    "code": lambda entry: entry.code,
    "hour": lambda entry: entry.at.strftime("%Y-%m-%dT%H"),
    "day": lambda entry: entry.at.strftime("%Y-%m-%d"),
    "month": lambda entry: entry.at.strftime("%Y-%m"),
}
_TIMES = ("hour", "day", "month")


def _reader(name: str) -> Callable[[Entry], str]:
    if name in DIMENSIONS:
        return DIMENSIONS[name]
    label = name.removeprefix(LABEL)
    if label == name or not label:
        known = ", ".join((*DIMENSIONS, f"{LABEL}NAME"))
        raise InvalidRequest({"by": f"no dimension {name!r:.80}, expected one of {known}"})
    return lambda entry: entry.labels.get(label) or NONE
