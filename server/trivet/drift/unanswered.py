"""Answers that say that nothing was found."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 2000  # characters of an answer that are looked at: a longer one says something


def says_nothing(answer: str, texts: Iterable[str]) -> bool:
    """Whether an answer is one of these texts, but for case, blanks and a full stop."""
    if len(answer) > _LONGEST:
        return False
    said = _normalised(answer)
    return any(said == _normalised(text) for text in texts)


def _normalised(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".")
