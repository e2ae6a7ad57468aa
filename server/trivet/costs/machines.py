"""What machines cost, by what their time went to: the increases between the statements of the request log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from trivet.costs.entry import Statement


@dataclass(slots=True)
class MachineSums:
    """Of one machine: nanoseconds and nano-USD by account."""

    nanoseconds: Counter[str] = field(default_factory=Counter)
    nano_usd: Counter[str] = field(default_factory=Counter)


class Machines:
    """Takes statements in the order of the log. What came before a run's first statement that is still there is in no
    sum, unless that one is its very first."""

    def __init__(self) -> None:
        self.sums: dict[str, MachineSums] = {}
        self._last: dict[tuple[str, str], Statement] = {}

    def add(self, statement: Statement, *, counted: bool) -> None:
        """The next one; `counted` says whether what it adds to the one before is of the report's time."""
        key = statement.run, statement.machine
        before = self._last.get(key)
        self._last[key] = statement
        if not counted or (before is None and statement.number != 1):
            return
        sums = self.sums.setdefault(statement.machine, MachineSums())
        sums.nanoseconds.update(_increase(statement.nanoseconds, {} if before is None else before.nanoseconds))
        sums.nano_usd.update(_increase(statement.nano_usd, {} if before is None else before.nano_usd))


def _increase(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: value - before.get(name, 0) for name, value in now.items()}
