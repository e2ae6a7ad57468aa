"""A prompt's static text with the lines of its file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trivet.prompts.template.source import Placeholder, PromptSource, Turn


@dataclass(frozen=True, slots=True)
class StaticText:
    """Static text between two variables. `line`: where it begins. `turn`: the number of its turn."""

    text: str
    line: int
    turn: int

    def line_at(self, offset: int) -> int:
        """The line of the character at `offset`."""
        return self.line + self.text.count("\n", 0, offset)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each line with its number."""
        return enumerate(self.text.split("\n"), start=self.line)


@dataclass(frozen=True, slots=True)
class PlacedVariable:
    """A variable where it is used."""

    name: str
    line: int
    turn: int


def located(prompt: PromptSource) -> Iterator[StaticText | PlacedVariable]:
    """Everything of a prompt, in order."""
    for number, turn in enumerate(prompt.turns):
        line = turn.line
        for piece in turn.pieces:
            if isinstance(piece, Placeholder):
                yield PlacedVariable(piece.name, line, number)
                continue
            yield StaticText(piece, line, number)
            line += piece.count("\n")


def static_texts(prompt: PromptSource) -> Iterator[StaticText]:
    """Its static text."""
    return (item for item in located(prompt) if isinstance(item, StaticText))


def placed_variables(prompt: PromptSource) -> Iterator[PlacedVariable]:
    """Its variables, each time that they are used."""
    return (item for item in located(prompt) if isinstance(item, PlacedVariable))


def whole(turn: Turn) -> str:
    """A turn's text, its variables as they are written."""
    return "".join(f"{{{{ {piece.name} }}}}" if isinstance(piece, Placeholder) else piece for piece in turn.pieces)
