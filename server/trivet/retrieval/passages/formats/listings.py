"""Tables and lists in a section's text: where each of their rows stands, and what is said of all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_NESTED = 4  # lists in each other; one that is further in is text of the entry that it stands in
_LONG_INTRODUCTION = 200  # characters
_SENTENCE_END = re.compile(r"[.!?…]\s+|[。！？]")


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are lines of a section's text. `start`, `rows`, `end`: where it with what introduces it, its
    first row below the header, and what follows it begin, in characters of the section's text.

    `header`: what names the columns, repeated where a passage begins further down; empty if nothing does.
    """

    start: int
    rows: int
    end: int
    header: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An item of a list, or a term with its definition. `start`, `body`, `end`: where it, the definition, and what
    follows it begin. `term`: what is defined, empty of an item. `inside`: tables and lists in it."""

    start: int
    body: int
    end: int
    term: str = ""
    inside: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """A list. `start`, `end`: where it with what introduces it, and what follows it, begin. `terms`: each of its
    entries defines something."""

    start: int
    end: int
    entries: tuple[Entry, ...]
    terms: bool = False

    @property
    def rows(self) -> int:
        """Where the first entry begins."""
        return self.entries[0].start


Block = Table | Listing


def announces(paragraph: str) -> bool:
    """Whether a paragraph says that what follows belongs to it. One before a table does so without a colon, too."""
    return paragraph.rstrip().endswith((":", "："))


def introduction_at(paragraph: str) -> int:
    """Where in a paragraph that stands before a table or a list the words begin that introduce it: it, or its last
    sentence if it is long. Its length if that is long, too."""
    text = paragraph.rstrip()
    if len(text) <= _LONG_INTRODUCTION:
        return 0
    ends = [found.end() for found in _SENTENCE_END.finditer(text, len(text) - _LONG_INTRODUCTION - 1)]
    return next((end for end in reversed(ends) if end < len(text)), len(paragraph))


def within(block: Block, start: int, length: int) -> Block:
    """The same in the part of the text that begins at `start` and has so many characters."""

    def place(at: int) -> int:
        return min(max(at - start, 0), length)

    if isinstance(block, Table):
        return Table(place(block.start), place(block.rows), place(block.end), block.header)
    entries = tuple(
        Entry(
            place(one.start),
            place(one.body),
            place(one.end),
            one.term,
            tuple(within(inner, start, length) for inner in one.inside),
        )
        for one in block.entries
    )
    return Listing(place(block.start), place(block.end), entries, block.terms)
