"""How many tokens stand between two places of a text, without encoding it again for each question."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Protocol

_PIECE = 20_000  # characters encoded at once: what a tokenizer keeps of a token is a hundred times its letters


class TokenModel(Protocol):
    """Counts as the embedding model does, without special tokens."""

    def tokens(self, text: str) -> Sequence[Any]:
        """The tokens of a text."""
        ...

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Where each token begins and ends, in characters."""
        ...


class TokenCounts:
    """The places of a text's tokens. Counted where a word begins it is what the model counts, with most tokenizers."""

    def __init__(self, model: TokenModel, text: str) -> None:
        self._starts: list[int] = []
        at = 0
        while at < len(text):
            end = _piece_end(text, at)
            self._starts += [at + start for start, _ in model.offsets(text[at:end])]
            at = end

    def between(self, start: int, end: int) -> int:
        """How many tokens begin there."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def place_before(self, start: int, tokens: int) -> int:
        """Where the token begins that is so many before the first one at or behind `start`; the first one's place at
        least."""
        n = max(0, bisect_left(self._starts, start) - tokens)
        return self._starts[n] if n < len(self._starts) else start

    def place_after(self, start: int, tokens: int) -> int | None:
        """Where the token begins that is so many after the first one at or behind `start`; None beyond the text."""
        n = bisect_left(self._starts, start) + tokens
        return self._starts[n] if n < len(self._starts) else None


def _piece_end(text: str, start: int) -> int:
    """Where a piece ends: at a blank if there is one in its second half."""
    end = start + _PIECE
    if end >= len(text):
        return len(text)
    blank = max(text.rfind(character, start + _PIECE // 2, end) for character in (" ", "\n"))
    return end if blank < 0 else blank
