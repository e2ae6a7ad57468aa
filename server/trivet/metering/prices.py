"""What tokens and searches cost, by the price sheet of the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.types.receipt import Cost

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """USD, of one backend."""

    input_per_million_tokens: float
    cached_per_million_tokens: float
    output_per_million_tokens: float
    retrieval_per_thousand_searches: float = 0.0

    def cost(
        self, *, input_tokens: int | None, cached_tokens: int | None, output_tokens: int | None, searches: int
    ) -> Cost:
        """Nano-USD by part; a part whose count is None (unknown) is None.

        `input_tokens` include the cached ones. Where only the cached count is unknown, all input is charged as
        uncached.
        """
        uncached = None if input_tokens is None else input_tokens - (cached_tokens or 0)
        return Cost(
            input=_nano(uncached, self.input_per_million_tokens / 1e6),
            cached=_nano(cached_tokens, self.cached_per_million_tokens / 1e6),
            output=_nano(output_tokens, self.output_per_million_tokens / 1e6),
            retrieval=_nano(searches, self.retrieval_per_thousand_searches / 1e3),
        )


def _nano(count: int | None, usd_each: float) -> int | None:
    return None if count is None else round(count * usd_each * NANO)
