"""What a node's engine did for gateways, as metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from trivet.node.tally import Tally


class TallyCounters(Collector):
    """Read at each scrape."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        """The counters."""
        tokens = CounterMetricFamily(
            "trivet_node_tokens", "Tokens of the engine, handed over to gateways or not.", labels=["kind"]
        )
        for kind in ("input_uncached", "input_cached", "output"):
            tokens.add_metric([kind], getattr(self._tally, kind))
        requests = CounterMetricFamily(
            "trivet_node_requests", "Requests of gateways that ended, by outcome.", labels=["outcome"]
        )
        for outcome, count in self._tally.requests.items():
            requests.add_metric([outcome.value], count)
        yield from (tokens, requests)
