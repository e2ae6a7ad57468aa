"""Cutting a text where it hurts least: between paragraphs, rows of tables and entries of lists, else sentences, else
words, else anywhere.

What fits is put together again in order, so a passage is as full as it can be. Each step is linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from trivet.retrieval.passages.formats.listings import Block, Entry, Listing, Table
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
    """A passage's range in its section's text, and what is said again before it: what names the columns of the table,
    or the term of the definition, that it begins in the middle of."""

    start: int
    end: int
    header: str = ""


@dataclass(frozen=True, slots=True)
class _Within:
    """Where a piece stands. `above`: what is said again where a passage begins with it; `header`: as much of that as
    has room, of so many `tokens`. `part_of`: the number of the definition, 0 for none."""

    above: tuple[str, ...] = ()
    header: str = ""
    tokens: int = 0
    part_of: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is not cut. `row`: a row of a table that is cut ends with it."""

    start: int
    end: int
    within: _Within
    row: bool = False


_NOWHERE = _Within()


class SpanCutter:
    """Cuts one section's text. `limit`: tokens of a passage, with what is said again before it."""

    def __init__(
        self,
        text: str,
        counts: TokenCounts,
        limit: int,
        blocks: Sequence[Block],
        cost: Callable[[str], int],
        *,
        code: bool = False,
        pack: bool = True,
    ) -> None:
        """`cost`: how many tokens a header has. One that would take more than half of a passage, in tokens
        or in characters, is not repeated. `code`: it has lines where other texts have sentences. Unless they `pack`,
        each paragraph begins a passage, but for what stands behind the words that introduce it."""
        self._text = text
        self._counts = counts
        self._limit = limit
        self._blocks = blocks
        self._cost = cost
        self._pack = pack
        self._numbers = count(1)
        self._between = (_PARAGRAPH, _LINE if code else _SENTENCE, _WORD)

    def spans(self) -> Iterator[Span]:
        """In order; nothing but blanks is between them."""
        span: Span | None = None
        within, rows = _NOWHERE, 0
        for piece in self._pieces((0, len(self._text)), self._blocks, _NOWHERE):
            if (
                span is not None
                and rows + piece.row <= _ROWS
                and within.part_of == piece.within.part_of
                and self._share(span.end, piece.start)
                and self._fits(span.start, piece.end, within.tokens)
            ):
                span, rows = Span(span.start, piece.end, span.header), rows + piece.row
                continue
            if span is not None:
                yield span
            within, rows = piece.within, int(piece.row)
            span = Span(piece.start, piece.end, within.header)
        if span is not None:
            yield span

    def _share(self, end: int, start: int) -> bool:
        return self._pack or _PARAGRAPH.search(self._text, end, start) is None

    def _fits(self, start: int, end: int, header: int) -> bool:
        room = self._limit - header
        return end - start <= _CHARACTERS_PER_TOKEN * room and self._counts.between(start, end) <= room

    def _whole(self, start: int, rows: int, end: int, within: _Within) -> bool:
        """Whether a table, a list or an entry that begins with its first row at `rows` is not cut."""
        one = self._pack or _PARAGRAPH.search(self._text, rows, end) is None
        return one and self._fits(start, end, within.tokens)

    def _below(self, within: _Within, *more: str) -> _Within:
        """As many of what is above and of these as have room, the innermost, which is the last one, first."""
        longest = _CHARACTERS_PER_TOKEN * self._limit // 2
        above = (*within.above, *(one for one in more if 0 < len(one) <= longest))
        for first in range(len(above)):
            header = "\n".join(above[first:])
            if len(header) <= longest and 2 * (tokens := self._cost(header)) <= self._limit:
                return replace(within, above=above, header=header, tokens=tokens)
        return _Within(above, part_of=within.part_of)

    def _pieces(self, part: Range, blocks: Sequence[Block], within: _Within) -> Iterator[_Piece]:
        """What is cut only if it does not fit a passage by itself."""
        at, end = part
        for block in blocks:
            if block.start < at:  # in a term
                continue
            yield from self._pieces_of_text((at, block.start), within, *self._between)
            start, stop = _inner(self._text, block.start, block.end)
            if self._whole(start, block.rows, stop, within):
                yield _Piece(start, stop, within)
            elif isinstance(block, Table):
                yield from self._rows(block, start, within)
            else:
                yield from self._entries(block, start, within)
            at = block.end
        yield from self._pieces_of_text((at, end), within, *self._between)

    def _rows(self, table: Table, start: int, before: _Within) -> Iterator[_Piece]:
        """The rows of a table that is cut; its header goes with the first one."""
        within = self._below(before, table.header)
        for row in _cut(self._text, (table.rows, table.end), _LINE):
            if start < table.rows and self._fits(start, row[1], before.tokens):
                yield _Piece(start, row[1], before, row=True)
            else:
                if start < table.rows:
                    yield from self._pieces_of_text((start, table.rows), before, _LINE, *self._between[1:])
                for piece in self._pieces_of_text(row, within, _LINE, *self._between[1:]):
                    yield replace(piece, row=piece.end == row[1])
            start = row[1]
        if start < table.rows:
            yield from self._pieces_of_text((start, table.end), before, _LINE, *self._between[1:])

    def _entries(self, listing: Listing, start: int, within: _Within) -> Iterator[_Piece]:
        """The entries of a list that is cut; what introduces it goes with the first one.

        Each definition has passages of its own, as a section has: it is found by its term and needs no other.
        """
        for entry in listing.entries:
            begin, end = _inner(self._text, min(start, entry.start), entry.end)
            inside = replace(within, part_of=next(self._numbers)) if listing.terms else within
            if self._whole(begin, entry.start, end, inside):
                yield _Piece(begin, end, inside)
            else:
                yield from self._parts(entry, (begin, end), inside)
            start = end

    def _parts(self, entry: Entry, part: Range, within: _Within) -> Iterator[_Piece]:
        """The parts of an entry that is cut; a term goes with the first one, and is said again before the others."""
        start, end = part
        body = max(start, entry.body)
        for piece in self._pieces((body, end), entry.inside, self._below(within, entry.term)):
            if start < body and self._fits(start, piece.end, within.tokens):
                yield replace(piece, start=start, within=within)
            else:
                if start < body:
                    yield from self._pieces_of_text((start, body), within, *self._between)
                yield piece
            start = body
        if start < body:
            yield from self._pieces_of_text((start, end), within, *self._between)

    def _pieces_of_text(self, part: Range, within: _Within, *between: re.Pattern[str]) -> Iterator[_Piece]:
        """Cut at the first of these; what does not fit, at the next one, and in the end anywhere."""
        if not between:
            yield from self._slices(part, within)
            return
        for piece in _cut(self._text, part, between[0]):
            if self._fits(*piece, within.tokens):
                yield _Piece(*piece, within)
            else:
                yield from self._pieces_of_text(piece, within, *between[1:])

    def _slices(self, part: Range, within: _Within) -> Iterator[_Piece]:
        """A word that does not fit, cut between its tokens."""
        start, end = part
        room = self._limit - within.tokens
        while start < end:
            place = self._counts.place_after(start, room)
            cut = min(end, start + _CHARACTERS_PER_TOKEN * room, end if place is None else max(place, start + 1))
            yield _Piece(start, cut, within)
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
    start, end = _inner(text, start, end)
    if start < end:
        yield start, end


def _inner(text: str, start: int, end: int) -> Range:
    """The range without blanks at its ends; empty if nothing else is in it."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
