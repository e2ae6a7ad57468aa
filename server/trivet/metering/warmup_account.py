"""What the server asks of its engines by itself: counted, so that receipts and this are all that an engine computed."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.metering.metrics import Metrics
from trivet.metering.prices import NANO, Price
from trivet.types.generation import Chunk

PRIMING, START = "priming", "start"


class WarmupAccount:
    """`prices`: by backend, as they are when something is counted."""

    def __init__(self, metrics: Metrics, prices: Mapping[str, Price]) -> None:
        self._metrics = metrics
        self._prices = prices

    def primed(self, backend: str, chunk: Chunk) -> None:
        """A piece of what came of priming a prefix."""
        self._count(backend, PRIMING, chunk.input_tokens, chunk.cached_tokens, chunk.tokens)

    def started(self, backend: str) -> None:
        """An engine has come up, which takes one token in and one out."""
        self._count(backend, START, 1, 0, 1)

    def _count(self, backend: str, purpose: str, given: int | None, cached: int | None, output: int) -> None:
        tokens = self._metrics.warmup_tokens
        if given is not None:
            tokens.labels(backend, purpose, "input_uncached").inc(given - (cached or 0))
            tokens.labels(backend, purpose, "input_cached").inc(cached or 0)
        tokens.labels(backend, purpose, "output").inc(output)
        price = self._prices.get(backend)
        if price is None:
            return
        cost = price.cost(input_tokens=given, cached_tokens=cached, output_tokens=output, searches=0)
        for component, amount in (("input", cost.input), ("cached", cost.cached), ("output", cost.output)):
            if amount is not None:
                self._metrics.warmup_cost.labels(backend, purpose, component).inc(amount / NANO)
