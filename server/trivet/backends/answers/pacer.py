"""When answers go out: each token at once while few are read, in steps of some milliseconds while many are.

A message costs more than the tokens in it, whoever writes and reads it; and what one reader sees a little later, all
have to spend.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

MANY = 8  # open streams, from which on the longest step holds


class Waiting(Protocol):
    """An answer with tokens that nobody has seen."""

    delivered_at: float

    def wake(self) -> None:
        """They are due."""
        ...


class Pacer:
    """Of all answers of a backend, with one timer. Call everything from one event loop.

    Answers that are due soon go along with the one that is due, so that streams come into step and the loop wakes once
    for all of them.
    """

    def __init__(self) -> None:
        self._open = 0
        self._waiting: dict[Waiting, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0  # when it does: uvloop's handle of a time that has passed does not tell

    def enter(self) -> None:
        """A stream begins."""
        self._open += 1

    def leave(self, one: Waiting) -> None:
        """It has ended."""
        self._open -= 1
        self.forget(one)

    def wait(self, longest: float) -> float:
        """Seconds between two messages of a stream that allows `longest`: none of it while it is alone, all of it from
        `MANY` streams on."""
        return longest * min(1.0, max(0, self._open - 1) / (MANY - 1))

    def later(self, one: Waiting, due: float) -> None:
        """Wake it when the loop's time is `due`, or a little before."""
        self._waiting[one] = due
        if self._timer is None or due < self._fires:
            self._set(due)

    def forget(self, one: Waiting) -> None:
        """It need not be woken."""
        self._waiting.pop(one, None)

    def _set(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = due
        self._timer = asyncio.get_running_loop().call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for one, due in [*self._waiting.items()]:
            if due - now <= (due - one.delivered_at) / 2:
                one.wake()
        if self._waiting:
            self._set(min(self._waiting.values()))
