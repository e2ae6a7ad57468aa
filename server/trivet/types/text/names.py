"""Names: what they may be made of."""

from __future__ import annotations

import unicodedata

NAME = r"[a-z0-9][a-z0-9._-]{0,62}"  # of tenants, routes, indexes, ...
_CANNOT_BE_SEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # words of many scripts and emoji need them


def is_printable(text: str) -> bool:
    """All of it can be seen, or joins what can: no control or formatting characters, line ends, lone surrogates."""
    return (text.isascii() and text.isprintable()) or all(
        character in _JOINERS or unicodedata.category(character) not in _CANNOT_BE_SEEN for character in text
    )
