"""Sticky, monotone assignment of units to variants: weighted rendezvous hashing.

Rendezvous hashing is by Thaler and Ravishankar (1998), the logarithmic weights by Schindelhauer and Schomaker
("Weighted distributed hash tables", 2005). A variant's score depends on its own weight alone, so when weights change, a
unit moves from i to j only if j's weight grew relative to i's.

The definition, for ever: SHA-256 over "trivet.assignment.1", then for salt, unit and variant in turn the number of its
UTF-8 bytes (4 bytes, big-endian) and those bytes. h is the digest's first 52 bits, big-endian; u = (2 h + 1) / 2**53.
The variant with the least -ln(u) / w answers, of equal ones the first by code points; one of weight 0 never does.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from decimal import Context, Decimal

_DOMAIN = b"trivet.assignment.1"
_EXACT = Context(prec=40)
_TOO_CLOSE = 1e-12  # machines' logarithms differ in the last bits, some 1e-16: closer than this is decided exactly


def assign(salt: str, unit: str, weights: Mapping[str, float]) -> str:
    """The variant for a unit: a pure function of the arguments, on every machine, whatever the order of `weights`.

    Weights are on any scale. Raises ValueError for a negative or infinite weight, or if none is positive.
    """
    weighted = [variant for variant, weight in weights.items() if _counts(variant, weight)]
    if not weighted:
        raise ValueError("no variant has a positive weight, expected at least one")
    if len(weighted) == 1:
        return weighted[0]
    uniform = {variant: _uniform(salt, unit, variant) for variant in weighted}
    scores = {variant: -math.log(u) / weights[variant] for variant, u in uniform.items()}
    bound = min(scores.values()) * (1 + _TOO_CLOSE)
    close = [variant for variant, score in scores.items() if score <= bound]
    if len(close) == 1:
        return close[0]
    return min(close, key=lambda variant: (_exact_score(uniform[variant], weights[variant]), variant))


def _counts(variant: str, weight: float) -> bool:
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight {weight} of variant {variant!r}, expected a finite number of at least 0")
    return weight > 0


def _exact_score(uniform: float, weight: float) -> Decimal:
    """The score to 40 digits, rounded alike everywhere; both arguments are exact as they are."""
    return _EXACT.divide(-_EXACT.ln(Decimal(uniform)), Decimal(weight))


def _uniform(salt: str, unit: str, variant: str) -> float:
    """A number between 0 and 1, both excluded. Half surrogate pairs are encoded as if they were characters."""
    digest = hashlib.sha256(_DOMAIN)
    for text in (salt, unit, variant):
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big"))
        digest.update(data)
    bits = int.from_bytes(digest.digest()[:8], "big") >> 12
    return (2 * bits + 1) / 2**53
