"""Receipts of copies: an account of their own, so that no tenant, route or variant bears them in its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from trivet.metering.metrics import Metrics
from trivet.metering.prices import NANO
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.stages import NO_STAGES
from trivet.types.receipt import Receipt


class ShadowSink:
    """Implements `ports.ReceiptSink` for receipts with the mark `shadow`. `on_receipt` is told each of them."""

    def __init__(self, metrics: Metrics, log: ReceiptLog, on_receipt: Callable[[Receipt], None]) -> None:
        self._metrics = metrics
        self._log = log
        self._on_receipt = on_receipt

    def record(
        self, receipt: Receipt, token_gaps: Sequence[tuple[float, int]] = (), stages: Mapping[str, float] = NO_STAGES
    ) -> None:
        """Count what it took and log it. Its times are nobody's."""
        metrics, labels = self._metrics, (receipt.route, receipt.variant)
        if receipt.input_tokens is not None:
            cached = receipt.cached_tokens or 0
            metrics.shadow_tokens.labels(*labels, "input_uncached").inc(receipt.input_tokens - cached)
            metrics.shadow_tokens.labels(*labels, "input_cached").inc(cached)
        if receipt.output_tokens is not None:
            metrics.shadow_tokens.labels(*labels, "output").inc(receipt.output_tokens)
        for component, value in receipt.cost.parts.items():
            metrics.shadow_cost.labels(*labels, component).inc(value / NANO)
        self._on_receipt(receipt)
        self._log.append(receipt)
