"""From the configuration to the limits that requests are held against, and their metrics."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.budgets.budgets import Budgets, BudgetSettings
from trivet.budgets.store import BudgetStore
from trivet.config import Config
from trivet.config.budgets import limit_set
from trivet.metering.metrics import Metrics
from trivet.types.budget import Limit

MOST_SERIES = 200


def budget_settings(config: Config) -> BudgetSettings:
    """How gateways share limits."""
    section = config.file.budgets
    return BudgetSettings(section.lease, section.without_store == "allow")


@asynccontextmanager
async def open_budgets(config: Config, store: BudgetStore, metrics: Metrics) -> AsyncIterator[Budgets]:
    """At work meanwhile; what it holds is given back when the block ends."""

    def refused(limit: Limit) -> None:
        metrics.budget_refused.labels(limit.owner.value, limit.period.value, limit.unit.value).inc()

    budgets = Budgets(
        store,
        limit_set(config.file),
        budget_settings(config),
        on_refused=refused,
        on_unchecked=metrics.budget_unchecked.inc,
    )
    budgets.start()
    try:
        yield budgets
    finally:
        await budgets.close()


class BudgetGauge(Collector):
    """`trivet_budget_used_ratio`, of the limits that are used up most. `shares` is called from the scrape's thread."""

    def __init__(self, shares: Callable[[], Mapping[Limit, float]]) -> None:
        self._shares = shares

    def describe(self) -> Iterable[Metric]:
        """The name, so that nothing else takes it."""
        yield _family()

    def collect(self) -> Iterable[Metric]:
        """At most `MOST_SERIES`: tenants and keys are the configuration's, but may be many."""
        family = _family()
        for limit, share in heapq.nlargest(MOST_SERIES, self._shares().items(), key=lambda item: item[1]):
            family.add_metric([limit.owner.value, limit.name, limit.period.value, limit.unit.value], share)
        yield family


def _family() -> GaugeMetricFamily:
    text = "Part of a limit that is used in the window that is now, as far as this gateway knows."
    return GaugeMetricFamily("trivet_budget_used_ratio", text, labels=["owner", "name", "per", "unit"])
