"""Bounded concurrency, fair between tenants: for the embedding of queries, the vector engine, a reranker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSemaphore:
    """At most `at_once` run; of those that wait, one of each tenant in turn (round robin).

    So a tenant that asks for much waits for itself: another one's turn comes after one of each tenant that waits, and
    after those that run. Within a tenant, first come, first served. Who waits is bounded by who lets calls in. For one
    event loop.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        await self.acquire(tenant)
        try:
            yield
        finally:
            self.release()

    async def acquire(self, tenant: str) -> None:
        """Wait for a slot, to be given back with `release`. Cancelled while it waits, or in the moment it gets one, it
        leaves nothing."""
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
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back: the next tenant's next call gets it; those cancelled meanwhile are passed over."""
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
