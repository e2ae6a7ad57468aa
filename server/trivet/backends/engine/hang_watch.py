"""Hang watch: an engine that lives and does nothing is missed too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_LOOKS = 2


class HangWatch:
    """Calls `hung` on the event loop, once, with a reason, when a sign of life is `seconds` late.

    It is asked for four times in `seconds`, also while the engine is idle, and not again before it came.
    """

    def __init__(
        self, sign_of_life: Callable[[], Awaitable[object]], seconds: float, hung: Callable[[str], None]
    ) -> None:
        self._sign_of_life = sign_of_life
        self._seconds = seconds
        self._hung = hung
        self._task = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Stop watching."""
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 4)
            asked = asyncio.ensure_future(self._sign_of_life())
            try:
                if not await self._comes(asked):
                    self._hung(f"it gave no sign of life for {self._seconds:g} s")
                    return
                if asked.exception() is not None:
                    return  # it died, which others see
            finally:
                asked.cancel()

    async def _comes(self, asked: asyncio.Future[object]) -> bool:
        """Looks more than once: after a pause of the whole machine the time is over and the answer still on its way."""
        for _ in range(_LOOKS):
            done, _pending = await asyncio.wait({asked}, timeout=self._seconds / _LOOKS)
            if done:
                return True
        return False
