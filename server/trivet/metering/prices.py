"""What tokens and searches cost, by the price sheet of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from trivet.types.receipt import Cost

NANO = 1_000_000_000
_Price = TypeVar("_Price")


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


@dataclass(slots=True)
class PriceSheet:
    """What is charged by, from now on: the prices of backends and of indexes, by their names."""

    backends: dict[str, Price]
    indexes: dict[str, IndexPrice]

    def replace(self, other: PriceSheet) -> list[str]:
        """Charge by the other one; who holds one of the mappings sees it. Says what differs."""
        told = [
            *(f"prices of {name}" for name in _differing(self.backends, other.backends)),
            *(f"prices of index {name}" for name in _differing(self.indexes, other.indexes)),
        ]
        _become(self.backends, other.backends)
        _become(self.indexes, other.indexes)
        return told


@dataclass(frozen=True, slots=True)
class IndexPrice:
    """USD, of the models of one index; None: not known."""

    embedding_per_million_tokens: float | None = None
    reranking_per_million_tokens: float | None = None

    def cost(self, use: str, tokens: int) -> Cost:
        """Nano-USD. `use`: "embed" or "rerank"."""
        each = self.embedding_per_million_tokens if use == "embed" else self.reranking_per_million_tokens
        return Cost() if each is None else Cost(input=_nano(tokens, each / 1e6))


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _become(one: dict[str, _Price], other: Mapping[str, _Price]) -> None:
    one.clear()
    one.update(other)


def _nano(count: int | None, usd_each: float) -> int | None:
    return None if count is None else round(count * usd_each * NANO)
