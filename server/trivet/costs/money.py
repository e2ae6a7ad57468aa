"""Nano-USD (1e-9 USD) as texts."""

from __future__ import annotations

NANO = 1_000_000_000


def usd(nano: int) -> str:
    """The exact amount in USD, at least two places: 1_500_000 is `0.0015`."""
    whole, rest = divmod(abs(nano), NANO)
    places = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{places}"


def usd_each(nano: int, count: int) -> str:
    """The mean amount in USD, rounded half up to 9 places; `-` of nothing."""
    return usd((2 * nano + count) // (2 * count)) if count else "-"
