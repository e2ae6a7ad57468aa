"""`trivet_adapter_resident` and `trivet_adapter_state`, made at each scrape from the adapters' statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import TimeoutError as LoopBusy

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.types.adapter import AdapterStatus

PATIENCE = 1.0


class AdapterGauge(Collector):
    """Asks the event loop, to which the statuses belong, from the scrape's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, statuses: Callable[[], Sequence[AdapterStatus]]) -> None:
        self._loop = loop
        self._statuses = statuses
        self._last: Sequence[AdapterStatus] = ()

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them; without asking anybody."""
        yield from (_tiers(()), _states(()))

    def collect(self) -> Iterable[Metric]:
        """1 for each adapter that is loaded or expected, by tier and state; the last answer if the loop is busy."""
        asked = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            self._last = asked.result(PATIENCE)
        except LoopBusy:
            asked.cancel()
        statuses = self._last
        yield from (_tiers(statuses), _states(statuses))

    async def _read(self) -> Sequence[AdapterStatus]:
        return self._statuses()


def _tiers(statuses: Sequence[AdapterStatus]) -> GaugeMetricFamily:
    text = "1 for each adapter that is loaded or expected, by where its weights are."
    family = GaugeMetricFamily("trivet_adapter_resident", text, labels=["adapter", "tier"])
    for status in statuses:
        family.add_metric([str(status.ref), status.tier.value], 1)
    return family


def _states(statuses: Sequence[AdapterStatus]) -> GaugeMetricFamily:
    text = "1 for each adapter that is loaded or expected, by its state."
    family = GaugeMetricFamily("trivet_adapter_state", text, labels=["adapter", "state"])
    for status in statuses:
        family.add_metric([str(status.ref), status.state.value], 1)
    return family
