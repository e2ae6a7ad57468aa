"""`trivet_adapter_resident`, made at each scrape from the adapters' own books."""

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
    """Asks the event loop, to which the books belong, from the scrape's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, books: Callable[[], Sequence[AdapterStatus]]) -> None:
        self._loop = loop
        self._books = books

    def describe(self) -> Iterable[Metric]:
        """Its name, so that nothing else takes it; without asking anybody."""
        yield self._family()

    def collect(self) -> Iterable[Metric]:
        """1 for each adapter that is known, by tier; nothing while the loop is stopping."""
        family = self._family()
        asked = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            for status in asked.result(PATIENCE):
                family.add_metric([str(status.ref), status.tier.value], 1)
        except LoopBusy:
            asked.cancel()
        yield family

    async def _read(self) -> Sequence[AdapterStatus]:
        return self._books()

    @staticmethod
    def _family() -> GaugeMetricFamily:
        text = "1 for each adapter that is known, by where its weights are."
        return GaugeMetricFamily("trivet_adapter_resident", text, labels=["adapter", "tier"])
