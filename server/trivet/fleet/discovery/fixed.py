"""A list that does not change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from trivet.fleet.discovery.discovery import Found


class FixedList:
    """The configuration's own."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._addresses = frozenset(addresses)

    async def watch(self) -> AsyncGenerator[Found, None]:
        """See `Discovery.watch`."""
        yield Found(self._addresses)
        await asyncio.Event().wait()
