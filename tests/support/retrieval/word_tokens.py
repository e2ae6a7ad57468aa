"""A tokenizer of words for tests that need none in particular."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+|[^\w\s]")


class WordTokens:
    """Words and marks are tokens. `characters`: how many it was given to look at so far."""

    def __init__(self) -> None:
        self.characters = 0

    def tokens(self, text: str) -> Sequence[str]:
        """The tokens of a text."""
        self.characters += len(text)
        return _WORD.findall(text)

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Where each begins and ends."""
        self.characters += len(text)
        return [found.span() for found in _WORD.finditer(text)]
