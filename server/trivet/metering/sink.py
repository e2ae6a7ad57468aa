"""The one place where a receipt is counted and logged, so that the log's sum equals the metrics."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from trivet.metering.metrics import NONE, UNKNOWN, Metrics
from trivet.metering.prices import NANO
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.stages import NO_STAGES, Stage
from trivet.types.receipt import Receipt

_TOTAL = "total"
_OTHER = "other"
MOST_ADAPTERS = 100  # that have a label of their own: which ones are used may be the clients' choice


class Sink:
    """Counts and logs receipts. `routes` gives the names that may stand in a label of what resolved to no variant.

    `on_receipt` is told each of them.
    """

    def __init__(
        self,
        metrics: Metrics,
        log: ReceiptLog,
        routes: Callable[[], Container[str]],
        on_receipt: Callable[[Receipt], None] = lambda _: None,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._routes = routes
        self._on_receipt = on_receipt
        self._adapters: set[str] = set()
        self._own_time = {stage: metrics.overhead.labels(stage) for stage in (_TOTAL, *Stage)}

    def record(
        self, receipt: Receipt, token_gaps: Sequence[tuple[float, int]] = (), stages: Mapping[str, float] = NO_STAGES
    ) -> None:
        """Count and log one receipt. `token_gaps`: (seconds, tokens) between chunks at the engine's output. `stages`:
        seconds of the gateway's own time."""
        self._count(receipt)
        self._count_times(receipt, token_gaps)
        for stage, seconds in stages.items():
            self._own_time[stage].observe(max(0.0, seconds))
        self._on_receipt(receipt)
        self._log.append(receipt)

    def _labels(self, receipt: Receipt) -> tuple[str, str]:
        known = receipt.variant or receipt.route in self._routes()  # a route may be gone by the end of its requests
        route = receipt.route if known else UNKNOWN
        return route, receipt.variant or NONE

    def _adapter(self, name: str) -> str:
        if len(self._adapters) < MOST_ADAPTERS:
            self._adapters.add(name)
        return name if name in self._adapters else _OTHER

    def _count(self, receipt: Receipt) -> None:
        metrics, labels = self._metrics, self._labels(receipt)
        metrics.requests.labels(*labels, receipt.code).inc()
        if receipt.input_tokens is not None:
            cached = receipt.cached_tokens or 0
            metrics.tokens.labels(*labels, "input_uncached").inc(receipt.input_tokens - cached)
            metrics.tokens.labels(*labels, "input_cached").inc(cached)
        if receipt.output_tokens is not None:
            metrics.tokens.labels(*labels, "output").inc(receipt.output_tokens)
        if receipt.expected_cached_tokens is not None and receipt.input_tokens is not None:
            metrics.expected_cached.labels(*labels).inc(receipt.expected_cached_tokens)
        if receipt.shared_tokens is not None:
            metrics.shared_tokens.labels(self._adapter(receipt.adapter)).inc(receipt.shared_tokens)
        for component, value in receipt.cost.parts.items():
            metrics.cost.labels(*labels, component).inc(value / NANO)
        for reason in receipt.degraded:
            metrics.degraded.labels(labels[0], reason).inc()

    def _count_times(self, receipt: Receipt, token_gaps: Sequence[tuple[float, int]]) -> None:
        metrics, labels = self._metrics, self._labels(receipt)
        exemplar = {"trace_id": receipt.trace_id} if receipt.trace_sampled else None
        if receipt.total_ms is not None:
            metrics.duration.labels(*labels).observe(receipt.total_ms / 1000, exemplar)
        if receipt.gateway_ms is not None:
            self._own_time[_TOTAL].observe(receipt.gateway_ms / 1000)
        if receipt.queue_ms is not None and receipt.variant:  # of those that got a place
            metrics.queue.observe(receipt.queue_ms / 1000)
        if receipt.ttft_ms is not None:
            metrics.ttft.labels(*labels).observe(receipt.ttft_ms / 1000, exemplar)
        self._count_engine(receipt)
        for seconds, tokens in token_gaps:
            metrics.inter_token.observe(labels, seconds / tokens, tokens)

    def _count_engine(self, receipt: Receipt) -> None:
        metrics = self._metrics
        for histogram, value in (
            (metrics.engine_queue, receipt.engine_queue_ms),
            (metrics.prefill, receipt.prefill_ms),
            (metrics.decode, receipt.decode_ms),
        ):
            if value is not None:
                histogram.labels(receipt.backend).observe(value / 1000)
        if receipt.preemptions:
            metrics.preemptions.labels(receipt.backend).inc(receipt.preemptions)
