"""Turns at what can do only so much at once: the embedding of queries, the vector engine, a reranker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """At most `at_once` run; of those that wait, one of each tenant in turn (round robin).

    So a tenant that asks for much waits for itself: another one's turn comes after one of each tenant that waits, and
    after those that run. Within a tenant, first come, first served. Who waits is bounded by who lets calls in. For one
    event loop.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a turn and have it."""
        await self.take(tenant)
        try:
            yield
        finally:
            self.pass_on()

    async def take(self, tenant: str) -> None:
        """Wait for a turn, which ends with `pass_on`. Cancelled while it waits, or in the moment of its turn, it leaves
        nothing."""
        if self._free:  # then nobody waits
            self._free -= 1
        else:
            await self._wait(tenant)

    async def _wait(self, tenant: str) -> None:
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(come)
        try:
            await come
        except asyncio.CancelledError:
            if come.done() and not come.cancelled():
                self.pass_on()
            raise

    def pass_on(self) -> None:
        """End a turn: it goes to the next tenant's next call; those that were cancelled meanwhile are passed over."""
        while self._waiting:
            tenant, calls = self._waiting.popitem(last=False)
            while calls and calls[0].done():
                calls.popleft()
            if not calls:
                continue
            calls.popleft().set_result(None)
            if calls:
                self._waiting[tenant] = calls  # behind the others
            return
        self._free += 1
