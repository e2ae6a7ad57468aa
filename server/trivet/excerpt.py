"""What nobody vouches for (a client's text, values from files), quoted in a message: briefly, whatever it is.

Values from files may be secrets that somebody put into the wrong place: `masked` leaves them out.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from typing import Any

_QUOTES = reprlib.Repr()
_QUOTES.maxlevel = 3
_QUOTES.maxstring = _QUOTES.maxother = 100
_QUOTES.maxlong = 40
_CREDENTIALS = re.compile(r"(?<=//)[^/\s]*@|(?<=/)[^/\s:@]+:[^/\s@]+@")  # a path keeps one slash of a URL's two
# What people do not write themselves: a run of letters and digits, mixed. Not a part of a path, nor a hub's revision.
_DRAWN = re.compile(
    r"(?<![A-Za-z0-9/@])[A-Za-z0-9+]{20,}(?![A-Za-z0-9/])|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
)
_VEIL = "***"


def quote(value: Any) -> str:
    """Its `repr`, shortened in depth and width. The work does not grow with the length of a text."""
    return _QUOTES.repr(value)


def quote_masked(value: Any) -> str:
    """The same of a value from a file, without what may be secret in it."""
    return masked(quote(value))


def masked(text: str) -> str:
    """The text without what may be secret in it: credentials in URLs, and runs that look drawn by chance."""
    return _DRAWN.sub(lambda match: _VEIL if _drawn(match[0]) else match[0], _CREDENTIALS.sub(f"{_VEIL}@", text))


def without(text: str, values: Iterable[str]) -> str:
    """The text without what may be secret in the values, wherever it stands: also in a path that was made of one."""
    for value in values:
        for match in _DRAWN.finditer(value):
            if _drawn(match[0]):
                text = text.replace(match[0], _VEIL)
    return text


def shortened(text: str, longest: int) -> str:
    """The text, or its two ends where it has more than `longest` characters."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def _drawn(run: str) -> bool:
    digits = sum(character.isdigit() for character in run)
    return digits >= 4 and len(run) - digits >= 4
