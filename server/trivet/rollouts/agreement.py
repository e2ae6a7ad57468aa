"""How far a shadow's answer agrees with the one that the client got, as one number for each pair."""

from __future__ import annotations

from trivet.types.receipt import Receipt, ShadowPair

FAILED_BY_ITSELF = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"})
"""Endings of a copy that say nothing of its variant: it gave way, it was starved, the engine was gone."""


def agreement_of(
    *, equal: bool, length_ratio: float, real_format_valid: bool | None, format_valid: bool | None
) -> float:
    """From 0 (nothing in common) to 1 (the same text).

    Two texts that differ agree by half of their length ratio, and not at all where one of them breaks its form.
    """
    if equal:
        return 1.0
    if real_format_valid is False or format_valid is False:
        return 0.0
    return length_ratio / 2


def pair_of(
    real: Receipt, real_text: str, *, code: str, text: str | None, format_valid: bool | None
) -> ShadowPair | None:
    """What a copy is beside its original; None where its ending says nothing of the variant.

    `code`, `text` and `format_valid` are the copy's. One that failed agrees with nothing: its original was answered.
    """
    if code in FAILED_BY_ITSELF:
        return None
    if code != "OK" or text is None:
        return ShadowPair(real.request_id, False, 0.0, 0.0, real.format_valid, real.degraded)
    equal, longer = text == real_text, max(len(text), len(real_text))
    ratio = 1.0 if equal else round(min(len(text), len(real_text)) / longer, 6)
    agreement = agreement_of(
        equal=equal, length_ratio=ratio, real_format_valid=real.format_valid, format_valid=format_valid
    )
    return ShadowPair(real.request_id, equal, ratio, agreement, real.format_valid, real.degraded)
