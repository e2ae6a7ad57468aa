"""Where an answer is taken apart: a quick parser runs on the event loop, a slow one in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from trivet.backends.answers.pacing import Piece
from trivet.backends.answers.parser import AnswerParser, Parsed

Found = Callable[[Parsed, bool], None]


class AnswerReader:
    """One answer's. All calls come from one event loop.

    A thread shares the interpreter with the event loop, which gets it back every few milliseconds; a piece that is read
    on the loop holds it up from its beginning to its end.
    """

    def __init__(self, parser: AnswerParser, loop: asyncio.AbstractEventLoop, found: Found) -> None:
        """`found` is told on the event loop what there was in a piece, in the answer's order, and whether it was the
        last one."""
        self._parser = parser
        self._loop = loop
        self._found = found
        self._busy = self._finished = False

    def feed(self, text: str, ids: Sequence[int], finished: bool) -> None:
        """The next piece of the answer."""
        self._finished = finished
        piece = self._parser.due(text, ids, finished, busy=self._busy)
        if piece is not None:
            self._read(piece, finished)

    def _read(self, piece: Piece, last: bool) -> None:
        if not self._parser.slow or self._parser.given_up:
            self._tell(self._parser.read(piece, last), last)
            return
        self._busy = True
        reading = self._loop.run_in_executor(self._parser.pool, self._parser.read, piece, last)
        reading.add_done_callback(partial(self._was_read, last))

    def _was_read(self, last: bool, reading: asyncio.Future[Parsed]) -> None:
        self._busy = False
        self._tell(reading.result(), last)
        if self._finished and not last:
            piece = self._parser.due("", (), finished=True)
            assert piece is not None
            self._read(piece, last=True)

    def _tell(self, parsed: Parsed, last: bool) -> None:
        self._parser.settle()
        self._found(parsed, last)
