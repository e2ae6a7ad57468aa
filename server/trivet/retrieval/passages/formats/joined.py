"""A document that is put together from parts: slides, chapters, mails, cells of a notebook."""

from __future__ import annotations

from dataclasses import replace

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.places import NumberedPlaces
from trivet.retrieval.passages.formats.sections import MAX_HEADING, MAX_LEVELS, ParsedDocument, Section

_BETWEEN = "\n\n"


class JoinedDocument:
    """Parts in order, each with a place of its own, and an empty line between their texts."""

    def __init__(self, kind: str, characters: int) -> None:
        """`kind`: what a part is called in a citation; `characters`: of all texts together, at most."""
        self._kind = kind
        self._most = characters
        self._parts: list[str] = []
        self._length = 0
        self._starts: list[int] = []
        self._sections: list[Section] = []

    def add(self, part: ParsedDocument, heading: str = "") -> None:
        """The next part; its sections stand below `heading`. Raises DocumentRejected if it is too much text."""
        if self._parts:
            self._length += len(_BETWEEN)
        self._starts.append(self._length)
        above = (" ".join(heading.split())[:MAX_HEADING],) if heading.strip() else ()
        for section in part.sections:
            below = section.path[1:] if section.path[:1] == above else section.path
            path = (*above, *below)[:MAX_LEVELS]
            self._sections.append(replace(section, path=path, start=section.start + self._length))
        self._parts.append(part.text)
        self._length += len(part.text)
        if self._length > self._most:
            raise DocumentRejected(f"it has more than {self._most:,} characters of text")

    def whole(self, title: str) -> ParsedDocument:
        """All parts as one document."""
        places = NumberedPlaces(self._kind, self._starts)
        return ParsedDocument(title, _BETWEEN.join(self._parts), tuple(self._sections), places=places)
