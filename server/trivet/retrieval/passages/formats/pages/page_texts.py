"""The texts of pages as one text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

_BETWEEN_PAGES = "\n\n"
_HYPHEN = "\x02"  # what PDFium makes of one at the end of a line
# A word is bounded so that a long run of letters is not looked through again from each of them.
_BROKEN = re.compile(rf"(?<!\w)(\w{{1,60}})[{_HYPHEN}\-\u00ad\u2010]\n\n?(\w{{1,60}})")
_WORD = re.compile(r"\w+(?:-\w+)*")


def joined(pages: Sequence[str]) -> tuple[str, list[int]]:
    """The text of all pages, and where each begins in it. A page without text begins where the next one does."""
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for page in pages:
        starts.append(at)
        if page:
            parts.append(page)
            at += len(page) + len(_BETWEEN_PAGES)
    text, shortened = _whole_words(_BETWEEN_PAGES.join(parts))
    moved = [0, *accumulate(by for _, by in shortened)]
    ends = [end for end, _ in shortened]
    return text, [start - moved[bisect_right(ends, start)] for start in starts]


def _whole_words(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Words that were broken at the end of a line put together: without the hyphen unless it seems to be the word's.

    Also where each of them ended before, and how many characters shorter the text is for it.
    """
    if not _BROKEN.search(text):
        return text.replace(_HYPHEN, "-"), []
    shortened: list[tuple[int, int]] = []
    known = Counter(word.lower() for word in _WORD.findall(text))

    def whole(found: re.Match[str]) -> str:
        put = put_together(found)
        shortened.append((found.end(), len(found[0]) - len(put)))
        return put

    def put_together(found: re.Match[str]) -> str:
        first, second = found.groups()
        if not second[0].islower():
            return f"{first}-{second}" if second[0].isalnum() and first[-1].isalnum() else found[0]
        joined, hyphened = (first + second).lower(), f"{first}-{second}".lower()
        keep = known[hyphened] > known[joined] or not (first + second).isalpha()
        return f"{first}-{second}" if keep else first + second

    return _BROKEN.sub(whole, text).replace(_HYPHEN, "-"), shortened


def clean(text: str) -> str:
    """Without what is no text: NUL, form feeds, half surrogate pairs."""
    text = text.replace("\0", "").replace("\f", "\n").replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
