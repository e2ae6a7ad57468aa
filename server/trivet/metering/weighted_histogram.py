"""A histogram that takes many equal observations in one step."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class WeightedHistogram(Collector):
    """As prometheus_client's, whose `observe` takes one value at a time: a microsecond for each token of an answer.

    May be used from several threads.
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        """`buckets`: upper bounds, ascending, without infinity."""
        self.name = name
        self._text = text
        self.labels = tuple(labels)
        self._bounds = tuple(buckets)
        self._ends = [*map(floatToGoString, self._bounds), "+Inf"]
        self._lock = Lock()
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], value: float, times: int) -> None:
        """Count `value` so many times for one value of each label."""
        with self._lock:
            counts = self._counts.setdefault(labels, [0] * len(self._ends))
            counts[bisect_left(self._bounds, value)] += times
            self._sums[labels] = self._sums.get(labels, 0.0) + value * times

    def describe(self) -> Iterable[Metric]:
        """The name, so that nothing else takes it."""
        yield HistogramMetricFamily(self.name, self._text, labels=self.labels)

    def collect(self) -> Iterable[Metric]:
        """All series."""
        with self._lock:
            found = [(labels, list(counts), self._sums[labels]) for labels, counts in self._counts.items()]
        family = HistogramMetricFamily(self.name, self._text, labels=self.labels)
        for labels, counts, total in found:
            family.add_metric(labels, list(zip(self._ends, accumulate(counts), strict=True)), total)
        yield family
