"""Thoughts between two marks in an answer's text, taken out of it while it comes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from trivet.types.generation import Chunk
from trivet.types.variant import ThoughtMarks


async def thought_apart(chunks: AsyncGenerator[Chunk, None], marks: ThoughtMarks) -> AsyncGenerator[Chunk, None]:
    """The same chunks, with what stands between the marks as their `reasoning`. The counts stay as they are."""
    splitter = ThoughtSplitter(marks)
    async with aclosing(chunks):
        async for chunk in chunks:
            text, thought = splitter.add(chunk.text)
            if chunk.finish is not None:
                rest, rest_thought = splitter.end()
                text, thought = text + rest, thought + rest_thought
            yield replace(chunk, text=text, reasoning=chunk.reasoning + thought)


class ThoughtSplitter:
    """Takes a text piece by piece. What might be the beginning of a mark is held back until it is known.

    A thought that never ends is a thought to the end of the text: it is never shown as an answer. Marks are told by
    their exact characters; one within a thought is a part of it. Blanks around a thought are left out.
    """

    def __init__(self, marks: ThoughtMarks) -> None:
        self._marks = marks
        self._thinking = False
        self._held = ""
        self._begun = False  # some of the text was told

    def add(self, piece: str) -> tuple[str, str]:
        """What is known now of text and thought."""
        text: list[str] = []
        thought: list[str] = []
        rest = self._held + piece
        while True:
            mark = self._marks.end if self._thinking else self._marks.begin
            before, found, after = rest.partition(mark)
            if not found:
                break
            self._tell(before, text, thought)
            self._thinking, rest = not self._thinking, after
        held = _begins(rest, mark)
        self._held = rest[len(rest) - held :]
        self._tell(rest[: len(rest) - held], text, thought)
        return "".join(text), "".join(thought)

    def end(self) -> tuple[str, str]:
        """What was held back: no mark any more."""
        text: list[str] = []
        thought: list[str] = []
        self._tell(self._held, text, thought)
        self._held = ""
        return "".join(text), "".join(thought)

    def _tell(self, piece: str, text: list[str], thought: list[str]) -> None:
        if self._thinking:
            thought.append(piece)
            return
        told = piece if self._begun else piece.lstrip()
        self._begun = self._begun or bool(told)
        text.append(told)


def _begins(text: str, mark: str) -> int:
    """How many characters at the end of the text may be the beginning of the mark."""
    most = min(len(text), len(mark) - 1)
    return next((size for size in range(most, 0, -1) if mark.startswith(text[-size:])), 0)
