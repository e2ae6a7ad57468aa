"""How often a parser of answers is asked.

Parsers take the interpreter from the event loop, and some read all that was written again at each piece. So after a
piece that took long the next ones are gathered for a while: an answer's parser gets a tenth of a processor at most, its
pieces grow with the answer, and its work with the answer's length instead of the length's square. All parsers that take
long get a quarter of one together, however many answers there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from weakref import WeakSet

REST = 9.0  # times as long as a piece took, before the answer's next one is looked at
REST_FOR_EACH = 4.0  # the same, times the answers whose parsers take long
QUICK = 0.001  # seconds; after such a piece an answer rests for the others' sake alone
HARMLESS = 0.0002  # seconds; after such a piece it does not rest: at 1,000 tokens a second it is a fifth of a processor
SLOW = 0.002  # seconds; after such a piece an answer is read in a thread
LONGEST = 0.25  # seconds for one piece; a parser that takes longer is not asked again

Clock = Callable[[], float]
Piece = tuple[str, list[int]]  # a text, and the ids of its tokens


class Pacing:
    """Gathers the pieces of one answer until they are due."""

    def __init__(
        self, clock: Clock = time.monotonic, spent: Clock = time.thread_time, harmful: WeakSet[Pacing] | None = None
    ) -> None:
        """`spent`: this thread's own time, which others on the machine do not lengthen. `harmful`: of one engine's
        answers, those whose parsers take long."""
        self.spent = spent
        self._clock = clock
        self._harmful = WeakSet[Pacing]() if harmful is None else harmful
        self._rests_until = float("-inf")
        self._text = ""
        self._ids: list[int] = []

    def due(self, text: str, ids: Sequence[int], finished: bool, *, busy: bool = False) -> Piece | None:
        """All that is to be looked at now, None if nothing is yet, or while the parser is `busy`."""
        self._text += text
        self._ids += ids
        if busy or (not finished and self._clock() < self._rests_until):
            return None
        gathered = self._text, self._ids
        self._text, self._ids = "", []
        return gathered

    def looked(self, took: float) -> None:
        """What was due was looked at, and that took so many seconds."""
        if took <= HARMLESS:
            self._harmful.discard(self)
            return
        self._harmful.add(self)
        rest = REST_FOR_EACH * len(self._harmful)
        self._rests_until = self._clock() + took * max(rest, REST if took > QUICK else 0.0)
