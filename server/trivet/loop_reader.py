"""What belongs to an event loop, read from another thread: a scrape's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

PATIENCE = 1.0  # seconds that a reader waits for the event loop

T = TypeVar("T")


class LoopReader(Generic[T]):
    """Calls `read` on the loop, at most one second from now, for whoever asks from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, read: Callable[[], T], before_the_first: T) -> None:
        self._loop = loop
        self._read = read
        self._last = before_the_first

    def latest(self) -> T:
        """What `read` says; what it said last if the loop is busy or closed. Raises what it raises."""
        if _running_loop() is self._loop:
            self._last = self._read()
            return self._last
        answer: Future[T] = Future()
        try:
            self._loop.call_soon_threadsafe(self._tell, answer)
        except RuntimeError:  # it is closed
            return self._last
        try:
            self._last = answer.result(PATIENCE)
        except TimeoutError:
            answer.cancel()
        return self._last

    def _tell(self, answer: Future[T]) -> None:
        if not answer.set_running_or_notify_cancel():
            return  # nobody waits for it any more
        try:
            answer.set_result(self._read())
        except Exception as error:  # the asker's
            answer.set_exception(error)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
