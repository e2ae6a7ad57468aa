"""The lists that are open while a document is read, with their entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from trivet.retrieval.passages.formats.listings import MOST_NESTED, Block, Entry, Listing


@dataclass(slots=True)
class _OpenEntry:
    """`start`, `body`: None until there is a line of it."""

    start: int | None = None
    body: int | None = None
    defined: bool = False
    terms: list[str] = field(default_factory=list)
    inside: list[Block] = field(default_factory=list)

    def line(self, text: str, start: int, *, of_term: bool) -> None:
        if self.start is None:
            self.start = start
        if of_term:
            self.terms.append(text)
        elif self.body is None:
            self.body = start

    def closed(self, end: int) -> Entry | None:
        if self.start is None:
            return None
        body = end if self.body is None else self.body
        return Entry(self.start, body, end, "\n".join(self.terms), tuple(self.inside))


@dataclass(slots=True)
class _OpenList:
    introduction: int | None
    terms: bool
    recorded: bool
    entries: list[Entry] = field(default_factory=list)
    entry: _OpenEntry | None = None

    def begin_entry(self, at: int) -> None:
        self.close_entry(at)
        self.entry = _OpenEntry()

    def close_entry(self, at: int) -> None:
        if self.entry is not None and (closed := self.entry.closed(at)) is not None:
            self.entries.append(closed)
        self.entry = None


class OpenLists:
    """Lists in each other, the outermost first. Places are in characters of the text as far as it is read."""

    def __init__(self) -> None:
        self._open: list[_OpenList] = []
        self._from = 0  # those before it do not count any more

    def begin(self, *, terms: bool, recorded: bool, introduction: int | None) -> None:
        """A list begins. `introduction`: where the words before it begin that introduce it. One that is not `recorded`
        is text of what it stands in, and so is one too deep in others."""
        recorded = recorded and len(self._open) - self._from < MOST_NESTED
        self._open.append(_OpenList(self.introduced(introduction), terms, recorded))

    def item(self, at: int) -> None:
        """An item begins."""
        if (innermost := self._innermost()) is not None and not innermost.terms:
            innermost.begin_entry(at)

    def term(self, at: int) -> None:
        """A term begins: one more of what is defined next, unless that has begun."""
        if (innermost := self._innermost()) is None or not innermost.terms:
            return
        if innermost.entry is None or innermost.entry.defined:
            innermost.begin_entry(at)

    def definition(self) -> None:
        """The definition of the last terms begins, or goes on."""
        if (innermost := self._innermost()) is not None and innermost.terms and innermost.entry is not None:
            innermost.entry.defined = True

    def line(self, text: str, start: int) -> None:
        """A line of text stands there."""
        for one in self._counting():
            if one.entry is not None:
                one.entry.line(text, start, of_term=one.terms and not one.entry.defined)

    def end(self, at: int) -> Listing | None:
        """The innermost list ends; None if it is empty, or stands in an entry that has it now."""
        closed = self._open.pop()
        counts = closed.recorded and len(self._open) >= self._from
        self._from = min(self._from, len(self._open))
        closed.close_entry(at)
        if not counts or not closed.entries:
            return None
        start = closed.entries[0].start if closed.introduction is None else closed.introduction
        listing = Listing(start, at, tuple(closed.entries), closed.terms)
        return None if self.take(listing) else listing

    def take(self, block: Block) -> bool:
        """Whether a table or a list that has ended stands in another list: its entry has it now, if it counts."""
        if len(self._open) <= self._from:
            return False
        if (innermost := self._innermost()) is not None and innermost.entry is not None:
            innermost.entry.inside.append(block)
        return True

    def introduced(self, introduction: int | None) -> int | None:
        """Where the words begin that introduce a table or a list here, unless that is before the entry it is in."""
        innermost = self._innermost()
        if introduction is None or innermost is None or innermost.entry is None:
            return introduction
        start = innermost.entry.start
        return None if start is None or introduction < start else introduction

    def abandon(self) -> None:
        """A heading cuts all open lists: neither they nor what follows is recorded as a list."""
        self._from = len(self._open)

    def _counting(self) -> Sequence[_OpenList]:
        return [one for one in self._open[self._from : self._from + MOST_NESTED] if one.recorded]

    def _innermost(self) -> _OpenList | None:
        return self._open[-1] if len(self._open) > self._from and self._open[-1].recorded else None
