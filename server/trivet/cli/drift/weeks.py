"""A route's weeks: how many answers were of low confidence, and how many of those that were rated are good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from trivet.api.v1 import interaction_pb2
from trivet.costs.entry import Entry
from trivet.evaluation.statistics import Interval, wilson

GOOD = 0.5  # a score from which on an answer counts as good


@dataclass(slots=True)
class Week:
    """`begins`: a Monday, UTC. Shares of `requests` and of `rated`."""

    begins: datetime
    requests: int = 0
    low_confidence: int = 0
    rated: int = 0
    good: int = 0

    @property
    def low_share(self) -> tuple[float, Interval] | None:
        """Of its answers, with 95%; None without any."""
        return _share(self.low_confidence, self.requests)

    @property
    def accuracy(self) -> tuple[float, Interval] | None:
        """The good ones among those that were rated, with 95%; None without any."""
        return _share(self.good, self.rated)


def weeks_of(route: str, entries: Iterable[Entry], rated: Iterable[interaction_pb2.Interaction]) -> list[Week]:
    """By the request log and the interaction log; the oldest week first."""
    weeks: dict[datetime, Week] = {}
    for entry in entries:
        if entry.fields.get("route") == route and entry.code == "OK" and not entry.fields.get("account"):
            week = _week(weeks, entry.at)
            week.requests += 1
            week.low_confidence += "low_confidence" in entry.degraded
    for interaction in rated:
        if interaction.route == route and interaction.rating.HasField("score"):
            week = _week(weeks, interaction.stored_at.ToDatetime(tzinfo=UTC))
            week.rated += 1
            week.good += interaction.rating.score >= GOOD
    return [weeks[begins] for begins in sorted(weeks)]


def _week(weeks: dict[datetime, Week], at: datetime) -> Week:
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begins = day - timedelta(days=day.weekday())
    return weeks.setdefault(begins, Week(begins))


def _share(some: int, of: int) -> tuple[float, Interval] | None:
    return (some / of, wilson(some, of)) if of else None
