"""Cutting a text where it hurts least: between paragraphs, else sentences, else words, else anywhere.

What fits is put together again in order, so a passage is as full as it can be. Each step is linear.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from trivet.retrieval.passages.formats.sections import Table
from trivet.retrieval.passages.token_counts import TokenCounts

_CHARACTERS_PER_TOKEN = 16  # at most: a tokenizer may take a word of any length for one that it does not know
_ROWS = 2  # in a passage of a table that is cut: what many rows have in common hides what each one says
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_SENTENCE = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]|\n+")
_WORD = re.compile(r"\s+")
_LINE = re.compile(r"\n+")

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """A passage's range in its section's text, and the header of the table that it begins in the middle of."""

    start: int
    end: int
    header: str = ""


class SpanCutter:
    """Cuts one section's text. `limit`: tokens of a passage, its table's header included."""

    def __init__(
        self,
        text: str,
        counts: TokenCounts,
        limit: int,
        tables: Sequence[Table],
        cost: Callable[[str], int],
        *,
        code: bool = False,
    ) -> None:
        """`cost`: how many tokens a header has. One that would take more than half of a passage, in tokens
        or in characters, is not repeated. `code`: it has lines where other texts have sentences."""
        self._text = text
        self._counts = counts
        self._limit = limit
        self._tables = tables
        self._between = (_PARAGRAPH, _LINE if code else _SENTENCE, _WORD)
        self._ends = [table.end for table in tables]
        self._row_ends: set[int] = set()  # where rows of tables that are cut end
        headers = [(table.header, cost(table.header) if table.header else 0) for table in tables]
        longest = _CHARACTERS_PER_TOKEN * limit // 2
        self._headers = [
            (header, tokens) if 2 * tokens <= limit and len(header) <= longest else ("", 0)
            for header, tokens in headers
        ]

    def spans(self, *, pack: bool) -> Iterator[Span]:
        """In order; nothing but blanks is between them. Unless they `pack`, each paragraph begins one."""
        whole = (0, len(self._text))
        for part in (whole,) if pack else _cut(self._text, whole, _PARAGRAPH):
            yield from self._packed(part)

    def _packed(self, part: Range) -> Iterator[Span]:
        span: Span | None = None
        cost = rows = 0
        for start, end in self._pieces(part):
            row = int(end in self._row_ends)
            if span is not None and rows + row <= _ROWS and self._fits(span.start, end, cost):
                span, rows = Span(span.start, end, span.header), rows + row
                continue
            if span is not None:
                yield span
            header, cost = self._header_at(start)
            span, rows = Span(start, end, header), row
        if span is not None:
            yield span

    def _fits(self, start: int, end: int, header: int) -> bool:
        room = self._limit - header
        return end - start <= _CHARACTERS_PER_TOKEN * room and self._counts.between(start, end) <= room

    def _header_at(self, place: int) -> tuple[str, int]:
        """The header to repeat in a passage that begins here, and its tokens."""
        n = bisect_right(self._ends, place)
        return self._headers[n] if n < len(self._tables) and self._tables[n].rows <= place else ("", 0)

    def _pieces(self, part: Range) -> Iterator[Range]:
        """What is cut only if it does not fit a passage by itself."""
        at, end = part
        for table in self._tables[bisect_right(self._ends, at) :]:
            if table.start >= end:
                break
            yield from self._pieces_of_text((at, max(at, table.start)), *self._between)
            for rows in _stripped(self._text, max(at, table.start), min(end, table.end)):
                if self._fits(*rows, 0):
                    yield rows
                else:
                    yield from self._rows(table, rows)
            at = min(end, table.end)
        yield from self._pieces_of_text((at, end), *self._between)

    def _rows(self, table: Table, part: Range) -> Iterator[Range]:
        """The rows of a table that is cut; its header goes with the first one."""
        start, end = part
        for row in _cut(self._text, (max(start, table.rows), end), _LINE):
            self._row_ends.add(row[1])
            if start < table.rows and self._fits(start, row[1], 0):
                yield start, row[1]
            else:
                if start < table.rows:
                    yield from self._pieces_of_text((start, table.rows), _LINE, _WORD)
                yield from self._pieces_of_text(row, _LINE, _WORD)
            start = row[1]
        if start < table.rows:
            yield from self._pieces_of_text((start, end), _LINE, _WORD)

    def _pieces_of_text(self, part: Range, *between: re.Pattern[str]) -> Iterator[Range]:
        """Cut at the first of these; what does not fit, at the next one, and in the end anywhere."""
        if not between:
            yield from self._slices(part)
            return
        _, header = self._header_at(part[0])
        for piece in _cut(self._text, part, between[0]):
            if self._fits(*piece, header):
                yield piece
            else:
                yield from self._pieces_of_text(piece, *between[1:])

    def _slices(self, part: Range) -> Iterator[Range]:
        """A word that does not fit, cut between its tokens."""
        start, end = part
        room = self._limit - self._header_at(start)[1]
        while start < end:
            place = self._counts.place_after(start, room)
            cut = min(end, start + _CHARACTERS_PER_TOKEN * room, end if place is None else max(place, start + 1))
            yield start, cut
            start = cut


def _cut(text: str, part: Range, between: re.Pattern[str]) -> Iterator[Range]:
    """The pieces of a part of the text, each up to the end of a match, without the blanks around them."""
    at, end = part
    for found in between.finditer(text, at, end):
        yield from _stripped(text, at, found.end())
        at = found.end()
    yield from _stripped(text, at, end)


def _stripped(text: str, start: int, end: int) -> Iterator[Range]:
    """The range without blanks at its ends, if anything else is in it."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end
