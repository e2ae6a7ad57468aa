"""Contents that notice what a chat template finds out about them, so that its output can be used for others too.

A template whose only questions to a content were "do you contain this?", and that got a no each time, writes the same
around every other content that contains none of these words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, SupportsIndex

from trivet.prompts.rendering.provenance import Span, Text

_HARMLESS_FILTERS = frozenset({"trim", "string", "replace", "join", "default", "d", "map", "list", "first", "last"})
"""These ask what the methods of the text notice, or nothing."""


@dataclass(slots=True)
class Watch:
    """What was asked. `needles`: what contents were searched for. `any_other`: something else was found out."""

    needles: set[str] = field(default_factory=set)
    any_other: bool = False

    def sought(self, needle: Any) -> None:
        """Note a search. For blanks at a content's ends: contents that have some are rendered by themselves."""
        for one in needle if isinstance(needle, tuple) else (needle,):
            if not isinstance(one, str) or isinstance(one, WatchedText):
                self.any_other = True
            elif one:
                self.needles.add("".join((one,)))


class WatchedText(Text):
    """A text that was put in for the template to look at, or a part of one."""

    __slots__ = ("_watch",)
    _watch: Watch

    def __new__(cls, text: str = "", spans: Iterable[Span] | None = None, watch: Watch | None = None) -> WatchedText:
        made: WatchedText = super().__new__(cls, text, spans)  # type: ignore[assignment]
        made._watch = Watch() if watch is None else watch
        return made

    def _made(self, text: str, spans: Iterable[Span] | None = None) -> Text:
        return WatchedText(text, spans, self._watch)

    def _other(self) -> None:
        self._watch.any_other = True

    def __bool__(self) -> bool:
        return str.__len__(self) > 0  # contents that are put in have some text, and those without are not

    def __len__(self) -> int:
        self._other()
        return str.__len__(self)

    def __hash__(self) -> int:
        self._other()
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            self._watch.sought(other)
        return str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: str) -> bool:
        self._other()
        return str.__lt__(self, other)

    def __gt__(self, other: str) -> bool:
        self._other()
        return str.__gt__(self, other)

    def __le__(self, other: str) -> bool:
        return not self > other

    def __ge__(self, other: str) -> bool:
        return not self < other

    def __contains__(self, needle: object) -> bool:
        self._watch.sought(needle)
        return str.__contains__(self, needle)  # type: ignore[operator]

    def __getitem__(self, key: SupportsIndex | slice) -> Text:
        if key != slice(None):
            self._other()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Text]:
        self._other()
        return super().__iter__()

    def __format__(self, spec: str) -> str:
        self._other()
        return str.__format__(self, spec)

    def _strips(self, chars: str | None) -> None:
        for char in chars or "":
            if not char.isspace():
                self._watch.sought(char)

    def lstrip(self, chars: str | None = None, /) -> Text:
        self._strips(chars)
        return super().lstrip(chars)

    def rstrip(self, chars: str | None = None, /) -> Text:
        self._strips(chars)
        return super().rstrip(chars)


def _searching(name: str) -> Callable[..., Any]:
    """The method, which notes what it looks for: its first argument."""
    method = getattr(Text, name)

    @wraps(method)
    def noting(self: WatchedText, *args: Any, **kwargs: Any) -> Any:
        needle = args[0] if args else kwargs.get("sep")
        self._watch.sought(needle)
        return method(self, *args, **kwargs)

    return noting


def _telling(name: str) -> Callable[..., Any]:
    """The method, whose answer may depend on all of the text."""
    method = getattr(Text, name)

    @wraps(method)
    def noting(self: WatchedText, *args: Any, **kwargs: Any) -> Any:
        self._other()
        return method(self, *args, **kwargs)

    return noting


_SEARCHES = ("startswith", "endswith", "find", "rfind", "index", "rindex", "count", "split", "rsplit", "partition",
             "rpartition", "replace", "removeprefix", "removesuffix")  # fmt: skip
_KEPT = ("strip", "join", "lstrip", "rstrip")  # the first two are made of what is watched
for _name in dir(str):
    if _name in _SEARCHES:
        setattr(WatchedText, _name, _searching(_name))
    elif not _name.startswith("_") and _name not in _KEPT and _name != "maketrans":
        setattr(WatchedText, _name, _telling(_name))


def watching(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test of Jinja that notes when it is given a content to look at."""
    if name in _HARMLESS_FILTERS:
        return function

    @wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if isinstance(value, WatchedText):
                value._other()
        return function(*args, **kwargs)

    return noting
