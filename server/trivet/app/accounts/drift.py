"""From the configuration to the watch over routes' questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trivet.drift.unanswered import says_nothing
from trivet.drift.watch import DriftWatch
from trivet.metering.metrics import Metrics
from trivet.routing.table import RouteTable
from trivet.stores.data_folder import DataFolder
from trivet.types.answer import Answer
from trivet.types.request import GenerateCall
from trivet.types.variant import DriftSettings


class Watching:
    """What tells the watch of searches, and counts answers that say nothing."""

    def __init__(self, watch: DriftWatch, routes: RouteTable, metrics: Metrics) -> None:
        self.searched = watch.offer
        self._routes = routes
        self._metrics = metrics

    def answered(self, call: GenerateCall, answer: Answer) -> None:
        """A request was answered."""
        route = self._routes.routes.get(call.route)
        if route is not None and route.drift is not None and says_nothing(answer.text, route.drift.unanswered):
            self._metrics.unanswered.labels(route.name).inc()


@asynccontextmanager
async def open_drift(folder: DataFolder, metrics: Metrics, routes: RouteTable) -> AsyncIterator[Watching]:
    """At work meanwhile; what it knows is kept when the block ends."""

    def settings(name: str) -> DriftSettings | None:
        route = routes.routes.get(name)
        return None if route is None else route.drift

    def on_evidence(route: str, evidence: float, alarmed: bool) -> None:
        metrics.drift_evidence.labels(route).set(evidence)
        metrics.drift_alarm.labels(route).set(alarmed)

    watch = DriftWatch(folder.drift, settings, on_evidence)
    for route in routes.routes.values():
        if route.drift is not None:
            metrics.unanswered.labels(route.name)
            await asyncio.to_thread(watch.recall, route.name)  # an alarm of before a restart still is one
    watch.start()
    try:
        yield Watching(watch, routes, metrics)
    finally:
        await watch.close()
