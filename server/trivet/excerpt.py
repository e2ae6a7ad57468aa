"""What nobody vouches for (a client's text, values from files), quoted in a message: briefly, whatever it is."""

from __future__ import annotations

import reprlib
from typing import Any

_QUOTES = reprlib.Repr()
_QUOTES.maxlevel = 3
_QUOTES.maxstring = _QUOTES.maxother = 100
_QUOTES.maxlong = 40


def quote(value: Any) -> str:
    """Its `repr`, shortened in depth and width. The work does not grow with the length of a text."""
    return _QUOTES.repr(value)


def shortened(text: str, longest: int) -> str:
    """The text, or its two ends where it has more than `longest` characters."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"
