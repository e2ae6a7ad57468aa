"""`trivet_adapter_resident` and `trivet_adapter_state`, made at each scrape from the adapters' statuses."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from trivet.loop_reader import LoopReader
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier

ON_DEMAND = "on demand"
OnDemand = Mapping[tuple[AdapterState, AdapterTier], int]


class AdapterGauge(Collector):
    """Asks the event loop, to which the statuses belong, from the scrape's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        statuses: Callable[[], Sequence[AdapterStatus]],
        on_demand: Callable[[], OnDemand] = dict,
    ) -> None:
        """`on_demand`: how many of those that requests chose there are; they have one label for all of them."""
        nobody: tuple[Sequence[AdapterStatus], OnDemand] = ((), {})
        self._adapters = LoopReader(loop, lambda: (statuses(), on_demand()), nobody)

    def describe(self) -> Iterable[Metric]:
        """The names, so that nothing else takes them; without asking anybody."""
        yield from (_tiers((), {}), _states((), {}))

    def collect(self) -> Iterable[Metric]:
        """1 for each adapter that is loaded or expected, by tier and state; the last answer if the loop is busy."""
        adapters = self._adapters.latest()
        yield from (_tiers(*adapters), _states(*adapters))


def _tiers(statuses: Sequence[AdapterStatus], on_demand: OnDemand) -> GaugeMetricFamily:
    text = "1 for each adapter that is loaded or expected, by where its weights are."
    family = GaugeMetricFamily("trivet_adapter_resident", text, labels=["adapter", "tier"])
    for status in statuses:
        family.add_metric([str(status.ref), status.tier.value], 1)
    _add(family, ((tier.value, number) for (_, tier), number in on_demand.items()))
    return family


def _states(statuses: Sequence[AdapterStatus], on_demand: OnDemand) -> GaugeMetricFamily:
    text = "1 for each adapter that is loaded or expected, by its state."
    family = GaugeMetricFamily("trivet_adapter_state", text, labels=["adapter", "state"])
    for status in statuses:
        family.add_metric([str(status.ref), status.state.value], 1)
    _add(family, ((state.value, number) for (state, _), number in on_demand.items()))
    return family


def _add(family: GaugeMetricFamily, numbers: Iterable[tuple[str, int]]) -> None:
    """Adapters on demand come and go: as many series as there are adapters would be too many."""
    sums: Counter[str] = Counter()
    for name, number in numbers:
        sums[name] += number
    for name, total in sums.items():
        family.add_metric([ON_DEMAND, name], total)
