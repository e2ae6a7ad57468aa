"""A document read: its text, cut at its headings, and where its tables and lists stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trivet.retrieval.passages.formats.listings import Block, within
from trivet.retrieval.passages.formats.places import Places

MAX_HEADING = 500  # characters of a heading in a path: a path is repeated in each passage below it
MAX_LEVELS = 12  # headings in a path


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading. `path`: the headings above it, outermost first. `start`: its place in the text as read.

    `blocks`: its tables and lists, in order. One that is `whole` is a passage of its own unless the embedding model
    cannot see it whole. `question` is what searches meet of it, where that is not its text. `code` is cut between
    lines, not sentences.
    """

    path: tuple[str, ...]
    text: str
    start: int = 0
    whole: bool = False
    question: str = ""
    blocks: tuple[Block, ...] = ()
    code: bool = False


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document read: its own title, empty if it names none, its text as read, and its sections in order.

    `tags` and `fields`: those that it gives itself; the latter as JSON has them. `places`: what its parts are called,
    None where they have no names.
    """

    title: str
    text: str
    sections: tuple[Section, ...]
    tags: tuple[str, ...] = ()
    places: Places | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)


class HeadingPath:
    """The headings above a place, while a document is read from its beginning."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> tuple[str, ...]:
        """The path below a heading of this level, the heading included; an empty one closes the others only."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        text = " ".join(heading[: 2 * MAX_HEADING].split())[:MAX_HEADING]
        if text:
            self._open.append((level, text))
        return self.path

    @property
    def path(self) -> tuple[str, ...]:
        """The headings above the present place."""
        return tuple(text for _, text in self._open[-MAX_LEVELS:])


@dataclass(slots=True)
class SectionText:
    """One section while its text is made or cut out."""

    path: tuple[str, ...]
    start: int
    end: int = 0
    blocks: list[Block] = field(default_factory=list)  # places in the whole text
    code: bool = False

    def cut(self, text: str) -> Section | None:
        """The section without the blanks around it; None if there is nothing in it."""
        body = text[self.start : self.end]
        inner = body.strip()
        if not inner:
            return None
        start = self.start + len(body) - len(body.lstrip())
        blocks = tuple(within(block, start, len(inner)) for block in self.blocks)
        return Section(self.path, inner, start, blocks=blocks, code=self.code)


def cut_sections(text: str, sections: Sequence[SectionText]) -> tuple[Section, ...]:
    """Those with anything in them."""
    cut = (section.cut(text) for section in sections)
    return tuple(section for section in cut if section is not None)


def heading_before_all(text: str, sections: Sequence[SectionText]) -> str:
    """The heading that a document begins with: what it is called. Empty if text stands before the first one."""
    for section in sections:
        if section.path:
            return section.path[0]
        if text[section.start : section.end].strip():
            break
    return ""
