"""vLLM's own metrics of one engine, kept apart from those of others.

vLLM registers them in the process's registry, and each engine that it starts throws out those of every other one
(`vllm.v1.metrics.prometheus.unregister_vllm_metrics`). So they are moved away as soon as they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from trivet.loop_reader import LoopReader


class EngineMetrics:
    """Call everything from one event loop; `registry` may be read from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._held: list[Collector] = []

    def adopt(self, tell: Callable[[], None]) -> None:
        """Take over what the engine that has just started registered, in place of the former one's.

        `tell` is called on the event loop before they are read: it counts what has not been counted yet.
        """
        self.drop()
        first = _Telling(asyncio.get_running_loop(), tell)
        self.registry.register(first)
        self._held.append(first)
        for collector in list(REGISTRY._collector_to_names):
            if getattr(collector, "_name", "").startswith("vllm:"):
                REGISTRY.unregister(collector)
                self.registry.register(collector)
                self._held.append(collector)

    def gauge(self, name: str) -> float | None:
        """The value of one of the engine's gauges that has no labels but the model's; None if there is none."""
        for collector in self._held:
            if getattr(collector, "_name", "") == name:
                samples = [sample.value for metric in collector.collect() for sample in metric.samples]
                return samples[0] if samples else None
        return None

    def drop(self) -> None:
        """The engine is gone: its gauges would tell of what is not there."""
        for collector in self._held:
            self.registry.unregister(collector)
        self._held.clear()


class _Telling(Collector):
    """Without metrics of its own: what is registered before the others is read before them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[], None]) -> None:
        self._told = LoopReader(loop, tell, None)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        """From the scrape's thread or on the event loop; if that is busy, the others are as they were told last."""
        self._told.latest()
        return ()
