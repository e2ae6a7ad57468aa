"""What the machines of backends cost, and what for: made at each scrape from the accounts of their time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.loop_reader import LoopReader
from trivet.metering.machine.machine_time import MachineTime
from trivet.metering.prices import NANO

_LABELS = ("backend", "account")


@dataclass(slots=True)
class _Seen:
    """`totals`: nanoseconds and nano-USD by backend and account. `weights`: of a prompt token by backend and what it is
    (`charged`, `fitted`, `lower`, `upper`); `versions` of the one that is charged by."""

    totals: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    weights: dict[tuple[str, str], float] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)


class MachineCounters(Collector):
    """Asks the event loop, to which the accounts belong, from the scrape's thread; the last answer if it is busy."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        machines: Mapping[str, MachineTime],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`machines`: by backend. `clock`: theirs."""
        self._machines = machines
        self._clock = clock
        self._accounts = LoopReader(loop, self._read, _Seen())

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them; without asking anybody."""
        yield from _families(_Seen())

    def collect(self) -> Iterable[Metric]:
        """Of each backend whose machine is paid for."""
        yield from _families(self._accounts.latest())

    def _read(self) -> _Seen:
        found = _Seen()
        for backend, machine in self._machines.items():
            machine.advance(self._clock())
            for account, nanoseconds in machine.nanoseconds.items():
                found.totals[backend, account.value] = nanoseconds, machine.nano_usd[account]
            found.versions[backend] = machine.weight_version
            found.weights[backend, "charged"] = machine.prompt_weight
            if (fitted := machine.fitted) is not None:
                told = {"fitted": fitted.weight, "lower": fitted.lower, "upper": fitted.upper}
                found.weights |= {(backend, kind): value for kind, value in told.items()}
        return found


def _families(seen: _Seen) -> Iterable[Metric]:
    seconds = CounterMetricFamily("trivet_machine_seconds", "The machine's time, by what it went to.", labels=_LABELS)
    cost = CounterMetricFamily("trivet_machine_cost_usd", "What the machine costs, by what for.", labels=_LABELS)
    for labels, (nanoseconds, nano_usd) in seen.totals.items():
        seconds.add_metric(labels, nanoseconds / NANO)
        cost.add_metric(labels, nano_usd / NANO)
    text = "Of a prompt token, where an output token has 1: what is charged by, and what the engine's steps tell."
    weight = GaugeMetricFamily("trivet_machine_prompt_token_weight", text, labels=("backend", "kind"))
    for labels, value in seen.weights.items():
        weight.add_metric(labels, value)
    text = "How many weights of a prompt token there have been since the start."
    version = GaugeMetricFamily("trivet_machine_prompt_token_weight_version", text, labels=("backend",))
    for backend, number in seen.versions.items():
        version.add_metric((backend,), number)
    return (seconds, cost, weight, version)
