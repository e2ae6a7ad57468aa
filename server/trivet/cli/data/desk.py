"""Answers in a terminal, one by one, and a key for each."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Iterator

import click

from trivet.api.v1 import interaction_pb2
from trivet.cli.data.ratings import Rating

_KEYS = "g good  b bad  c correct  e correct in an editor  l label  s skip  u back  q quit"
_BACK = 100  # so many can be gone back to
_MARK = "\N{REPLACEMENT CHARACTER}"
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of the direction of writing
_LEFT = ("\x03", "\x04", "q", "")  # Ctrl-C and Ctrl-D come as keys; the end of the input as none


class Desk:
    """Shows and asks until there is no more, or until somebody quits."""

    def __init__(self, shown: Iterator[interaction_pb2.Interaction], give: Callable[[Rating], None]) -> None:
        """`give` records a rating; what it raises ends the work, with all that was given before recorded."""
        self._coming = shown
        self._give = give
        self._again: deque[interaction_pb2.Interaction] = deque()
        self._done: deque[interaction_pb2.Interaction] = deque(maxlen=_BACK)

    def work(self) -> int:
        """How many were rated."""
        rated: set[str] = set()
        while (one := self._next()) is not None:
            _show(one)
            key = self._key()
            if key in _LEFT:
                break
            if key == "u":
                self._again.appendleft(one)
                if self._done:
                    self._again.appendleft(self._done.pop())
                else:
                    click.echo("this is the first one")
                continue
            rating = _rating(one, key)
            if rating is not None:
                self._give(rating)
                rated.add(one.request_id)
            elif key != "s":
                self._again.appendleft(one)  # nothing was said after all
                continue
            self._done.append(one)
        return len(rated)

    def _next(self) -> interaction_pb2.Interaction | None:
        return self._again.popleft() if self._again else next(self._coming, None)

    def _key(self) -> str:
        click.secho(_KEYS, dim=True)
        while True:
            try:
                key = click.getchar().lower()
            except (EOFError, KeyboardInterrupt):
                return "q"
            if key in (*"gbcelsu", *_LEFT):
                return key


def _rating(one: interaction_pb2.Interaction, key: str) -> Rating | None:
    match key:
        case "g":
            return Rating(one.request_id, 1.0)
        case "b":
            return Rating(one.request_id, 0.0)
        case "l":
            label = str(click.prompt("label", default="", show_default=False)).strip()
            return Rating(one.request_id, label=label) if label else None
        case "c":
            text = str(click.prompt("it should be", default="", show_default=False)).strip()
        case "e":
            text = (click.edit(printable(one.answer)) or "").strip()
        case _:
            return None
    return Rating(one.request_id, 0.0, corrected_text=text) if text else None


def _show(one: interaction_pb2.Interaction) -> None:
    click.echo()
    for message in one.messages:
        click.echo(click.style(f"{message.role:>9}  ", bold=True) + printable(message.content))
    click.echo(click.style("   answer  ", bold=True, fg="cyan") + printable(one.answer))
    if one.HasField("rating"):
        said = one.rating
        score = f"{said.score:.2f}" if said.HasField("score") else ""
        click.secho(
            "    rated  " + printable(" ".join(filter(None, (score, said.label, said.corrected_text)))), dim=True
        )


def printable(text: str) -> str:
    """Without what a terminal would obey: control characters beside line ends and tabs, and turns of the direction."""
    return "".join(_MARK if _obeyed(character) else character for character in text)


def _obeyed(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in _TURNS or unicodedata.category(character) in ("Cc", "Cs")
