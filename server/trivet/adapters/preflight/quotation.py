"""Values from files that nobody vouches for, quoted in a message: briefly, whatever they are."""

from __future__ import annotations

import reprlib
from typing import Any

_QUOTES = reprlib.Repr()
_QUOTES.maxlevel = 3
_QUOTES.maxstring = _QUOTES.maxother = 100
_QUOTES.maxlong = 40


def quote(value: Any) -> str:
    """Its `repr`, shortened in depth and width."""
    return _QUOTES.repr(value)
