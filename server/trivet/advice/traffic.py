"""What the request log says of a route's traffic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random

from trivet.advice.evidence import Traffic
from trivet.costs.entry import Entry

DAYS_A_MONTH = 365.25 / 12
_KEPT_TIMES = 10_000  # of all, drawn by chance: their 95th percentile is within a percent
_FEWEST_DAYS = 7  # of a log that tells how often a prompt changes
_DAY = 86_400.0


@dataclass(slots=True)
class RouteTraffic:
    """Sums over a route's answered requests."""

    route: str
    requests: int = 0
    cached_tokens: int = 0
    prompts: set[str] = field(default_factory=set)
    oldest: datetime | None = None
    _times: list[float] = field(default_factory=list)
    _timed: int = 0
    _random: Random = field(default_factory=lambda: Random(0))

    def add_all(self, entries: Iterable[Entry]) -> None:
        """All of these that are the route's and were answered; copies of a shadow are nobody's."""
        for entry in entries:
            if entry.fields.get("route") == self.route and entry.code == "OK" and not entry.fields.get("account"):
                self._add(entry)

    def traffic(self, now: datetime, prefix_tokens: int | None, prices: tuple[float, float] | None) -> Traffic:
        """A month's worth, from the oldest request until `now`; less than a day counts as one.

        `prices`: USD per million tokens, not cached and cached. The prefix costs what its share of cached tokens says.
        """
        if self.oldest is None:
            return Traffic(prefix_tokens=prefix_tokens)
        days = max((now - self.oldest).total_seconds() / _DAY, 1.0)
        changes = None
        if days >= _FEWEST_DAYS:
            changes = max(0, len(self.prompts) - 1) / days * DAYS_A_MONTH
        found = Traffic(self.requests / days * DAYS_A_MONTH, changes, prefix_tokens, ttft_ms=self._slowest())
        if prefix_tokens is None or prices is None:
            return found
        hit = min(self.cached_tokens / max(self.requests * prefix_tokens, 1), 1.0)
        each = prefix_tokens * ((1 - hit) * prices[0] + hit * prices[1]) * 1000  # nano-USD
        return replace(found, prefix_cost=each)

    def _add(self, entry: Entry) -> None:
        self.requests += 1
        self.cached_tokens += entry.cached_tokens or 0
        self.oldest = entry.at if self.oldest is None else min(self.oldest, entry.at)
        if prompt := entry.fields.get("prompt"):
            self.prompts.add(prompt)
        if entry.ttft_ms is not None:
            self._keep(entry.ttft_ms)

    def _keep(self, took: float) -> None:
        """Every one of them has the same chance to be kept."""
        self._timed += 1
        if len(self._times) < _KEPT_TIMES:
            self._times.append(took)
        elif (place := self._random.randrange(self._timed)) < _KEPT_TIMES:
            self._times[place] = took

    def _slowest(self) -> float | None:
        """The 95th percentile."""
        times = sorted(self._times)
        return times[min(len(times) - 1, int(0.95 * len(times)))] if times else None
