"""How a node is, told to everyone who watches it, at each change and now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LAPSE_SECONDS = 30.0  # what a holder wants outlives its last watch by this: a gateway may be started again


@dataclass(frozen=True, slots=True)
class Status:
    """One moment. `kv_use`: share of the KV cache in use, None if it is not known."""

    incarnation: int
    ready: bool
    draining: bool
    adapters: tuple[str, ...]
    running: int
    waiting: int
    kv_use: float | None = None


class StatusBoard:
    """`read` gives the status as it is. Call everything from one event loop."""

    def __init__(self, read: Callable[[], Status], forget: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """`forget` is told of a holder who has not watched for `LAPSE_SECONDS`."""
        self._read = read
        self._forget = forget
        self._watches: set[asyncio.Event] = set()
        self._holders: dict[str, int] = {}
        self._lapses: dict[str, asyncio.Task[None]] = {}

    def changed(self) -> None:
        """Something that matters at once is different by now."""
        for event in self._watches:
            event.set()

    @property
    def watched(self) -> bool:
        """Whether anybody watches."""
        return bool(self._watches)

    async def close(self) -> None:
        """Nothing lapses any more."""
        for task in self._lapses.values():
            task.cancel()
        await asyncio.gather(*self._lapses.values(), return_exceptions=True)

    def watch(self, holder: str) -> Watch:
        """For one who watches, in an `async with`."""
        return Watch(self, holder)

    def _enter(self, holder: str, event: asyncio.Event) -> None:
        self._watches.add(event)
        self._holders[holder] = self._holders.get(holder, 0) + 1
        lapse = self._lapses.pop(holder, None)
        if lapse is not None:
            lapse.cancel()

    def _leave(self, holder: str, event: asyncio.Event) -> None:
        self._watches.discard(event)
        self._holders[holder] -= 1
        if not self._holders[holder]:
            del self._holders[holder]
            self._lapses[holder] = asyncio.create_task(self._lapse(holder))

    async def _lapse(self, holder: str) -> None:
        await asyncio.sleep(LAPSE_SECONDS)
        self._lapses.pop(holder, None)
        await self._forget(holder)


class Watch:
    """One who watches."""

    def __init__(self, board: StatusBoard, holder: str) -> None:
        self._board = board
        self._holder = holder
        self._event = asyncio.Event()

    async def __aenter__(self) -> Watch:
        self._board._enter(self._holder, self._event)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._board._leave(self._holder, self._event)

    def now(self) -> Status:
        """The status."""
        self._event.clear()
        return self._board._read()

    async def wait(self, seconds: float) -> None:
        """Until something has changed, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
