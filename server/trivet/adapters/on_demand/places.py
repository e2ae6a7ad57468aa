"""Places in the engine's host memory for adapters that requests choose: what fixed variants use is not theirs."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from trivet.types.variant import VersionRef


class Places:
    """At most `count()` different adapters are in use at once; who comes later waits, first come, first served."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._held: Counter[VersionRef] = Counter()
        self._line: deque[asyncio.Future[None]] = deque()

    def free(self, ref: VersionRef) -> bool:
        """Whether `hold` would not wait."""
        return ref in self._held or (not self._line and len(self._held) < max(1, self._count()))

    @asynccontextmanager
    async def hold(self, ref: VersionRef) -> AsyncIterator[None]:
        """Use one adapter."""
        if not self.free(ref):
            await self._wait(ref)
        self._held[ref] += 1
        self._wake()  # there may be room for more than the one that was told
        try:
            yield
        finally:
            self._held[ref] -= 1
            if not self._held[ref]:
                del self._held[ref]
            self._wake()

    async def _wait(self, ref: VersionRef) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        while True:
            try:
                await turn
            except asyncio.CancelledError:
                if turn in self._line:
                    self._line.remove(turn)
                self._wake()
                raise
            if ref in self._held or len(self._held) < max(1, self._count()):
                return
            turn = asyncio.get_running_loop().create_future()
            self._line.appendleft(turn)

    def _wake(self) -> None:
        while self._line and len(self._held) < max(1, self._count()):
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
