"""Where a person finds a passage again: a page, a slide, a sheet's cells, lines of code."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MAX_PLACE = 200  # characters: a sheet's name is somebody else's


class Places(Protocol):
    """Names the parts of a document, by their ranges in the text as read."""

    def name(self, start: int, end: int) -> str:
        """What a person looks for, such as `pages 3-4`; empty where there is no name. `end` is exclusive."""
        ...


@dataclass(frozen=True, slots=True)
class NumberedPlaces:
    """Parts that are counted from `first`. `kind`: what one is called; `starts`: where each begins, in order."""

    kind: str
    starts: Sequence[int]
    first: int = 1

    def name(self, start: int, end: int) -> str:
        """`page 3`, or `pages 3-4`."""
        begin = bisect_right(self.starts, start) - 1
        last = max(begin, bisect_left(self.starts, end) - 1)
        if begin < 0:
            return ""
        one = f"{self.kind} {begin + self.first}"
        return one if last == begin else f"{self.kind}s {begin + self.first}-{last + self.first}"


@dataclass(frozen=True, slots=True)
class Cells:
    """A row of a sheet: which one, and its first and last column as letters."""

    sheet: str
    row: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class CellPlaces:
    """Rows of sheets. `starts`: where each begins in the text, in order."""

    starts: Sequence[int]
    rows: Sequence[Cells]

    def name(self, start: int, end: int) -> str:
        """`Prices!A2:C14`, as spreadsheets write it; of the sheet in which it begins."""
        begin = bisect_right(self.starts, start) - 1
        stop = bisect_left(self.starts, end)
        if begin < 0:
            return ""
        top = self.rows[begin]
        rows = [one for one in self.rows[begin : max(stop, begin + 1)] if one.sheet == top.sheet]
        first = min((one.first for one in rows), key=_width)
        last = max((one.last for one in rows), key=_width)
        return f"{_sheet(top.sheet)}!{first}{top.row}:{last}{rows[-1].row}"[:MAX_PLACE]


def line_starts(text: str) -> list[int]:
    """Where each line of a text begins."""
    starts, at = [0], text.find("\n")
    while at >= 0:
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    return starts


def _width(column: str) -> tuple[int, str]:
    """Orders columns as a sheet has them: Z before AA."""
    return len(column), column


def _sheet(name: str) -> str:
    return name if name.isidentifier() else "'" + name.replace("'", "''") + "'"
