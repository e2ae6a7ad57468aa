"""What an answer says, as far as several answers are compared, and what most of them say."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from trivet.types.variant import AgreeOn, SelfConsistency

_LONGEST = 65_536  # characters of an answer that are read
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_QUOTES = "\"'`“”‘’«»"


def value_of(text: str, settings: SelfConsistency) -> str | None:
    """The value that an answer votes for; None for one that has none, and no vote."""
    text = text[:_LONGEST]
    if settings.agree_on is AgreeOn.NUMBER:
        return _last_number(text)
    if settings.agree_on is AgreeOn.JSON:
        return _json_value(text, settings.field)
    said = normalised(text)
    if settings.agree_on is AgreeOn.LABEL:
        return next((label for label in settings.labels if normalised(label) == said), None)
    return said or None


def majority(values: Sequence[str | None]) -> tuple[int, float]:
    """The place of the first answer with the value that most have, and what share of all answers has it.

    Of values with as many votes the one that came first; without any vote the first answer, and 0.
    """
    votes = Counter(value for value in values if value is not None)
    if not votes:
        return 0, 0.0
    value, count = max(votes.items(), key=lambda item: item[1])  # the first of equals: counters keep the order
    return values.index(value), count / len(values)


def normalised(text: str) -> str:
    """Without what does not count: case, runs of blanks, quotes around it, a full stop at the end."""
    folded = " ".join(text.casefold().split())
    return folded.strip(_QUOTES).removesuffix(".").strip(_QUOTES + " ")


def _last_number(text: str) -> str | None:
    """A chain of steps ends with its result."""
    found = _NUMBER.findall(text)
    if not found:
        return None
    whole, _, fraction = found[-1].replace(",", "").partition(".")
    digits, fraction = whole.removeprefix("-").lstrip("0") or "0", fraction.rstrip("0")
    size = digits + (f".{fraction}" if fraction else "")
    return f"-{size}" if whole.startswith("-") and size != "0" else size


def _json_value(text: str, field: str) -> str | None:
    try:
        value = json.loads(text)
        if field:
            value = value[field]
        return normalised(value) if isinstance(value, str) else json.dumps(value, sort_keys=True)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
