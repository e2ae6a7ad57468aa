"""The metrics of several processes as those of one server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

PROCESS = "process"
_ADDED_UP = frozenset({"counter", "histogram", "summary"})
_Key = tuple[str, tuple[tuple[str, str], ...]]  # a sample's name and labels
_Family = dict[_Key, float]


class SummedMetrics(Collector):
    """Counters and histograms are added up, those of processes that have ended included; of everything else there is a
    series for each process, with its name in the label `process`. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kinds: dict[str, tuple[str, str]] = {}  # a family's help and type
        self._told: dict[str, dict[str, _Family]] = {}  # by process and family
        self._ended: dict[str, _Family] = {}

    def update(self, process: str, text: str) -> None:
        """What a process says of itself now, in Prometheus' text format. ValueError for anything else."""
        families: dict[str, _Family] = {}
        kinds: dict[str, tuple[str, str]] = {}
        for family in text_string_to_metric_families(text):
            kinds[family.name] = (family.documentation, family.type)
            samples = families.setdefault(family.name, {})
            for sample in family.samples:
                samples[sample.name, tuple(sample.labels.items())] = sample.value
        with self._lock:
            for name, kind in kinds.items():
                self._kinds.setdefault(name, kind)
            self._told[process] = families

    def end(self, process: str) -> None:
        """It has ended: what it counted stays, what it was is gone."""
        with self._lock:
            for name, samples in self._told.pop(process, {}).items():
                if self._kinds[name][1] in _ADDED_UP:
                    _add(self._ended.setdefault(name, {}), samples)

    def collect(self) -> Iterable[Metric]:
        """All of it, as it was told last."""
        with self._lock:
            return [self._family(name, *kind) for name, kind in self._kinds.items()]

    def _family(self, name: str, told: str, kind: str) -> Metric:
        family = Metric(name, told, kind)
        if kind in _ADDED_UP:
            total = dict(self._ended.get(name, {}))
            for families in self._told.values():
                _add(total, families.get(name, {}))
            for (sample, labels), value in total.items():
                family.add_sample(sample, dict(labels), value)
            return family
        for process, families in self._told.items():
            for (sample, labels), value in families.get(name, {}).items():
                family.add_sample(sample, {**dict(labels), PROCESS: process}, value)
        return family


def _add(total: _Family, more: Mapping[_Key, float]) -> None:
    for key, value in more.items():
        total[key] = total.get(key, 0.0) + value
