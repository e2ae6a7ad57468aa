"""The bounded queue in front of the engine: what does not fit is refused at once."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from trivet.errors import Draining, Overloaded

RETRY_AFTER = 1.0
AHEAD_OF_ALL = -1  # the priority of those who come back: they were admitted before


@dataclass(order=True)
class _Waiter:
    priority: int
    ticket: int
    tokens: int = field(compare=False)
    admitted: asyncio.Future[None] = field(compare=False)


class Place:
    """A request's place among those that run."""

    def __init__(self, admission: Admission, tokens: int) -> None:
        self.held = True
        self.tokens = tokens
        self._admission = admission

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Let others have the place while this request waits for something else; then it returns before all others.

        Meanwhile it counts among those that wait for a place.
        """
        self._admission.step_aside(self)
        try:
            yield
        finally:
            self._admission.step_up(self)
        await self._admission.return_to(self)


class Admission:
    """At most `max_running` at once; at most `max_queued` more, and `max_queued_tokens` of prompt, wait their turn.

    Those who wait are admitted by priority (0 first), then in order of arrival. All calls come from one event loop.
    """

    def __init__(self, *, max_running: int, max_queued: int, max_queued_tokens: int) -> None:
        self._max_running = max_running
        self._max_queued = max_queued
        self._max_queued_tokens = max_queued_tokens
        self._running = 0
        self._queued = 0
        self._queued_tokens = 0
        self._aside = 0  # of those queued; they wait for something else than a place
        self._waiters: list[_Waiter] = []
        self._tickets = itertools.count()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Admitted and waiting."""
        return self._running + self._queued

    @asynccontextmanager
    async def enter(self, *, tokens: int, priority: int = 0) -> AsyncIterator[Place]:
        """Hold one place; `tokens` is an estimate of the prompt's length.

        Raises Overloaded without waiting when the queue is full, Draining when the server is stopping.
        """
        if self._draining:
            raise Draining("the server is stopping")
        if self._queued or self._running >= self._max_running:
            self._refuse_beyond_bounds(tokens)
        if self._running < self._max_running and self._queued == self._aside:
            self._running += 1
            self._idle.clear()
        else:
            await self._wait(tokens, priority)
        place = Place(self, tokens)
        try:
            yield place
        finally:
            self._running -= place.held
            self._admit_next()

    def step_aside(self, place: Place) -> None:
        """See `Place.aside`, which calls these three in turn."""
        place.held = False
        self._running -= 1
        self._aside += 1
        self._enter_queue(place.tokens)
        self._admit_next()

    def step_up(self, place: Place) -> None:
        """What it waited for is there, or will not be."""
        self._aside -= 1
        self._leave_queue(place.tokens)

    async def return_to(self, place: Place) -> None:
        """Have a place again."""
        if self._running < self._max_running:
            self._running += 1
        else:
            await self._wait(place.tokens, AHEAD_OF_ALL)
        place.held = True

    async def drain(self) -> None:
        """Take nothing new and return when what is in flight has ended."""
        self._draining = True
        await self._idle.wait()

    def _refuse_beyond_bounds(self, tokens: int) -> None:
        if self.in_flight >= self._max_running + self._max_queued:
            raise Overloaded("requests", self._max_queued, RETRY_AFTER)
        if self._queued_tokens + tokens > self._max_queued_tokens:
            raise Overloaded("prompt tokens", self._max_queued_tokens, RETRY_AFTER)

    async def _wait(self, tokens: int, priority: int) -> None:
        waiter = _Waiter(priority, next(self._tickets), tokens, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiters, waiter)
        self._enter_queue(tokens)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            if waiter.admitted.done() and not waiter.admitted.cancelled():
                self._running -= 1  # admitted in the moment of the cancellation: pass the place on
            else:
                self._leave_queue(tokens)
            self._admit_next()
            raise

    def _admit_next(self) -> None:
        while self._waiters and self._running < self._max_running:
            waiter = heapq.heappop(self._waiters)
            if waiter.admitted.done():
                continue
            self._leave_queue(waiter.tokens)
            self._running += 1
            waiter.admitted.set_result(None)
        if not self.in_flight:
            self._idle.set()

    def _enter_queue(self, tokens: int) -> None:
        self._queued += 1
        self._queued_tokens += tokens

    def _leave_queue(self, tokens: int) -> None:
        self._queued -= 1
        self._queued_tokens -= tokens
