"""What the machines of backends cost, and what for: made at each scrape from the accounts of their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import TimeoutError as LoopBusy

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from trivet.metering.machine.machine_time import MachineTime
from trivet.metering.prices import NANO

PATIENCE = 1.0
_LABELS = ("backend", "account")
_Totals = dict[tuple[str, str], tuple[int, int]]  # nanoseconds and nano-USD by backend and account


class MachineCounters(Collector):
    """Asks the event loop, to which the accounts belong, from the scrape's thread; the last answer if it is busy."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        machines: Mapping[str, MachineTime],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`machines`: by backend. `clock`: theirs."""
        self._loop = loop
        self._machines = machines
        self._clock = clock
        self._last: _Totals = {}

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them; without asking anybody."""
        yield from _families({})

    def collect(self) -> Iterable[Metric]:
        """Of each backend whose machine is paid for."""
        asked = asyncio.run_coroutine_threadsafe(self._read(), self._loop)
        try:
            self._last = asked.result(PATIENCE)
        except LoopBusy:
            asked.cancel()
        yield from _families(self._last)

    async def _read(self) -> _Totals:
        found: _Totals = {}
        for backend, machine in self._machines.items():
            machine.advance(self._clock())
            for account, nanoseconds in machine.nanoseconds.items():
                found[backend, account.value] = nanoseconds, machine.nano_usd[account]
        return found


def _families(totals: _Totals) -> Iterable[Metric]:
    seconds = CounterMetricFamily("trivet_machine_seconds", "The machine's time, by what it went to.", labels=_LABELS)
    cost = CounterMetricFamily("trivet_machine_cost_usd", "What the machine costs, by what for.", labels=_LABELS)
    for labels, (nanoseconds, nano_usd) in totals.items():
        seconds.add_metric(labels, nanoseconds / NANO)
        cost.add_metric(labels, nano_usd / NANO)
    return (seconds, cost)
