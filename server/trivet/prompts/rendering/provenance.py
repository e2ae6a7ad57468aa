"""Text that remembers where each of its characters comes from, through everything that a chat template does with it.

Only what the template itself writes may become a control token. So it is trust that is marked, not distrust: literals
of the template are trusted, and whatever an operation of Jinja or Python makes of them without keeping the mark is
plain untrusted text. A mark that is lost costs a control token, never the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex

TRUSTED = -1
UNKNOWN = -2
_LONGEST_REPEATED = 1 << 24  # characters: how often may be a client's number
Span = tuple[int, int, int]
"""(length, source, offset in the source). The source is TRUSTED, UNKNOWN, or the number of a text that was put in."""


class Text(str):
    """A string with the spans that it consists of; they cover it without gaps."""

    __slots__ = ("_spans",)
    _spans: tuple[Span, ...]

    def __new__(cls, text: str = "", spans: Iterable[Span] | None = None) -> Text:
        made = super().__new__(cls, text)
        made._spans = tuple(spans) if spans is not None else _whole(text, UNKNOWN)
        return made

    @classmethod
    def trusted(cls, text: str) -> Text:
        """Text that the template or its operator wrote."""
        return Text(text, _whole(text, TRUSTED))

    @classmethod
    def from_source(cls, text: str, source: int) -> Text:
        """The text with this number."""
        return Text(text, _whole(text, source))

    def __str__(self) -> str:
        return self

    def __reduce__(self) -> Any:  # a copy is what it is made of, as for any string
        return Text, ("".join((self,)), self._spans)

    def __add__(self, other: str) -> Text:
        return concatenated((self, other)) if _ordinary(other) else NotImplemented

    def __radd__(self, other: str) -> Text:
        return concatenated((other, self)) if _ordinary(other) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> Text:
        number = max(0, times.__index__())
        if number * str.__len__(self) > _LONGEST_REPEATED:
            raise OverflowError(f"a text of {str.__len__(self):,} characters, {number:,} times")
        return self._made(str.__mul__(self, number), self._spans * number)

    __rmul__ = __mul__

    def __mod__(self, values: Any) -> Text:
        return self._made(str.__mod__(self, values))

    def __getitem__(self, key: SupportsIndex | slice) -> Text:
        if not isinstance(key, slice):
            at = range(str.__len__(self))[key]
            return self._cut(at, at + 1)
        start, stop, step = key.indices(str.__len__(self))
        if step == 1:
            return self._cut(start, max(start, stop))
        if step < 0:
            return concatenated(list(self._cuts((at, at + 1) for at in reversed(range(start, stop, step))))[::-1])
        return concatenated(self._cuts((at, at + 1) for at in range(start, stop, step)))

    def __iter__(self) -> Iterator[Text]:
        return self._cuts((at, at + 1) for at in range(str.__len__(self)))

    def _other(self) -> None:
        """Something is found out about it; noted by a text that is watched."""

    def __contains__(self, needle: object) -> bool:
        if isinstance(needle, Text):
            needle._other()
        return str.__contains__(self, needle)  # type: ignore[operator]

    def _made(self, text: str, spans: Iterable[Span] | None = None) -> Text:
        """A text that was made of this one."""
        return Text(text, spans)

    def _cut(self, start: int, end: int) -> Text:
        return self._made(str.__getitem__(self, slice(start, end)), _between(self._spans, start, end))

    def _cuts(self, ranges: Iterable[tuple[int, int]]) -> Iterator[Text]:
        """Several cuts, each behind the one before it, in one walk over the spans."""
        number = at = 0  # the span that is looked at, and where it begins
        for start, end in ranges:
            found: list[Span] = []
            while number < len(self._spans):
                size, source, offset = self._spans[number]
                first, last = max(start, at), min(end, at + size)
                if first < last:
                    found.append((last - first, source, offset + (first - at if source >= 0 else 0)))
                if at + size > end:
                    break
                number, at = number + 1, at + size
            yield self._made(str.__getitem__(self, slice(start, end)), found)

    def strip(self, chars: str | None = None, /) -> Text:
        return self.lstrip(chars).rstrip(chars)

    def lstrip(self, chars: str | None = None, /) -> Text:
        size = str.__len__(self)
        return self._cut(size - str.__len__(str.lstrip(self, chars)), size)

    def rstrip(self, chars: str | None = None, /) -> Text:
        return self._cut(0, str.__len__(str.rstrip(self, chars)))

    def removeprefix(self, prefix: str, /) -> Text:
        size = str.__len__(self)
        return self._cut(size - str.__len__(str.removeprefix(self, prefix)), size)

    def removesuffix(self, suffix: str, /) -> Text:
        return self._cut(0, str.__len__(str.removesuffix(self, suffix)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[Text]:  # type: ignore[override]
        return self._located(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[Text]:  # type: ignore[override]
        return self._located(str.rsplit(self, sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[Text]:  # type: ignore[override]
        return self._located(str.splitlines(self, keepends), None)

    def partition(self, sep: str, /) -> tuple[Text, Text, Text]:
        one, between, other = self._located(str.partition(self, sep), "")
        return one, between, other

    def rpartition(self, sep: str, /) -> tuple[Text, Text, Text]:
        one, between, other = self._located(str.rpartition(self, sep), "")
        return one, between, other

    def _located(self, parts: Iterable[str], separator: str | None) -> list[Text]:
        """Parts of this text that follow each other in it. Without a separator it is blanks, which no part has."""
        return list(self._cuts(self._places(parts, separator)))

    def _places(self, parts: Iterable[str], separator: str | None) -> Iterator[tuple[int, int]]:
        at = 0
        for part in parts:
            at = str.index(self, part, at) if separator is None else at
            yield at, at + len(part)
            at += len(part) + len(separator or "")

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> Text:
        if not old:
            return self._made(str.replace(self, old, new, count))
        return joined(new, self._located(str.split(self, old, count), old))

    def join(self, parts: Iterable[str], /) -> Text:
        return joined(self, parts)

    def upper(self) -> Text:
        return self._recased(str.upper(self))

    def lower(self) -> Text:
        return self._recased(str.lower(self))

    def title(self) -> Text:
        return self._recased(str.title(self))

    def capitalize(self) -> Text:
        return self._recased(str.capitalize(self))

    def _recased(self, text: str) -> Text:
        """What the template wrote stays trusted; what was put in is no longer the text with its number."""
        if len(text) != str.__len__(self):
            return self._made(text)
        return self._made(text, ((n, source if source == TRUSTED else UNKNOWN, at) for n, source, at in self._spans))


def spans_of(text: str) -> tuple[Span, ...]:
    """What a string consists of; all of an ordinary one is UNKNOWN."""
    return text._spans if isinstance(text, Text) else _whole(text, UNKNOWN)


def concatenated(parts: Iterable[str]) -> Text:
    """The parts one after the other."""
    pieces = list(parts)
    first = next((piece for piece in pieces if isinstance(piece, Text) and type(piece) is not Text), _NOTHING)
    return first._made("".join(pieces), _merged(span for piece in pieces for span in spans_of(piece)))


def joined(separator: str, parts: Iterable[str]) -> Text:
    """The parts with the separator between them."""
    pieces: list[str] = []
    for part in parts:
        pieces += (separator, part) if pieces else (part,)
    return concatenated(pieces)


def _ordinary(value: object) -> bool:
    """Markup has rules of its own for what is added to it: the result is all escaped, and none of it trusted."""
    return isinstance(value, str) and not hasattr(value, "__html__")


def _whole(text: str, source: int) -> tuple[Span, ...]:
    size = str.__len__(text)
    return ((size, source, 0),) if size else ()


def _between(spans: Iterable[Span], start: int, end: int) -> Iterator[Span]:
    at = 0
    for size, source, offset in spans:
        first, last = max(start, at), min(end, at + size)
        if first < last:
            yield last - first, source, offset + (first - at if source >= 0 else 0)
        at += size
        if at >= end:
            return


_NOTHING = Text()


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Neighbours of one source become one span, as far as they follow each other in it."""
    merged: list[Span] = []
    for size, source, offset in spans:
        if merged:
            size_before, source_before, offset_before = merged[-1]
            if source == source_before and (source < 0 or offset == offset_before + size_before):
                merged[-1] = (size_before + size, source, offset_before)
                continue
        merged.append((size, source, offset))
    return merged
