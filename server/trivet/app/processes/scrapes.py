"""The metrics of all processes, fetched from each and added up."""

from __future__ import annotations

import asyncio
import logging
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.app.processes.child import Child
from trivet.app.processes.summed_metrics import PROCESS, SummedMetrics

logger = logging.getLogger(__name__)
INTERVAL = 2.0  # seconds: what a process counts after its last fetch, and before it is killed, is lost here
TIMEOUT = 2.0
AT_ONCE = 8
MAX_BYTES = 16 << 20
# They are on this machine, whatever `http_proxy` says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Scrapes(Collector):
    """A registry's collector. What a process said last stands while it does not answer."""

    def __init__(self, children: Callable[[], Sequence[Child]]) -> None:
        self._summed = SummedMetrics()
        self._children = children
        self._addresses: dict[str, str] = {}
        self._silent: set[str] = set()
        self._turn = Lock()
        self._threads = ThreadPoolExecutor(AT_ONCE, "scrapes")

    def up(self, process: str, address: str) -> None:
        """It serves its metrics there."""
        self._addresses[process] = address

    def down(self, process: str) -> None:
        """It has ended."""
        self._addresses.pop(process, None)
        self._summed.end(process)

    async def run(self) -> None:
        """Fetch now and then, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Fetch from all. Blocks."""
        with self._turn:
            list(self._threads.map(self._fetch, list(self._addresses.items())))

    def close(self) -> None:
        """Fetch no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def collect(self) -> list[Metric]:
        """As they are now; called in a thread of the listener's."""
        self.refresh()
        up = GaugeMetricFamily("trivet_process_up", "1 while a process of the server serves.", labels=[PROCESS])
        restarts = CounterMetricFamily(
            "trivet_process_restarts", "Starts of a process of the server after the first.", labels=[PROCESS]
        )
        for child in self._children():
            up.add_metric([child.name], float(child.up))
            restarts.add_metric([child.name], child.restarts)
        return [up, restarts, *self._summed.collect()]

    def _fetch(self, where: tuple[str, str]) -> None:
        process, address = where
        try:
            with _DIRECT.open(f"http://{address}/metrics", timeout=TIMEOUT) as answer:
                text = answer.read(MAX_BYTES).decode()
            if self._addresses.get(process) == address:  # it has not ended meanwhile
                self._summed.update(process, text)
                self._silent.discard(process)
        except (OSError, ValueError) as error:
            if process not in self._silent:
                self._silent.add(process)
                logger.warning("process %s does not tell its metrics: %s", process, error)
