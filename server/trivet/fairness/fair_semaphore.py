"""Bounded concurrency, fair between tenants: for the embedding of queries, the vector engine, a reranker, writes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from trivet.fairness.active_tenants import ActiveTenants

LONGEST_REST = 1.0  # seconds


class FairSemaphore:
    """At most `at_once` run; of one tenant at most `beside_others` while there are others.

    The next slot goes to the tenant that has the fewest, and of those that have as many to the one whose turn was
    longest ago. So a tenant that asks for much waits for itself: another one's call comes before all that wait of a
    tenant that was served since, and with `beside_others` below `at_once` it mostly finds a slot. Within a tenant,
    first come, first served. Who waits is bounded by who lets calls in. For one event loop.

    With a bound beside others, a tenant that has more calls waiting rests after each as long as that one took, while
    others are active: what comes behind the slot (threads, processes, cores) is half of the time free of it. A tenant
    that asks for one thing after the other never rests, and others may have the slot meanwhile.
    """

    def __init__(
        self, at_once: int, beside_others: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._at_once = self._free = at_once
        self._beside_others = at_once if beside_others is None else beside_others
        self._clock = clock
        self._active = ActiveTenants(clock)
        self._held: Counter[str] = Counter()  # and those that rest
        self._began: dict[str, deque[float]] = {}  # of those held, the oldest first
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._turns: dict[str, int] = {}  # each tenant's last one; there are as many as keys name tenants
        self._turn = 0

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        await self.acquire(tenant)
        try:
            yield
        finally:
            self.release(tenant)

    async def acquire(self, tenant: str) -> None:
        """Wait for a slot, to be given back with `release`. Cancelled while it waits, or in the moment it gets one, it
        leaves nothing."""
        self._active.enter(tenant)
        if self._free and tenant not in self._waiting and self._may_have_more(tenant):
            self._take(tenant)
            return
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(come)
        try:
            await come
        except BaseException:
            if come.done() and not come.cancelled() and come.exception() is None:
                self.release(tenant)  # cancelled in the moment it got one
            else:
                self._active.leave(tenant)
            raise

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return sum(map(len, self._waiting.values()))

    def give_way(self, tenant: str, error: Exception) -> bool:
        """Let the newest call of the tenant with the most waiting fail, in favour of one more of `tenant`.

        False if that tenant has no fewer waiting.
        """
        if not self._waiting:
            return False
        longest = max(self._waiting, key=lambda one: len(self._waiting[one]))
        calls = self._waiting[longest]
        if len(calls) <= len(self._waiting.get(tenant, ())) + 1:
            return False
        come = calls.pop()
        if not come.done():
            come.set_exception(error)
        return True

    def release(self, tenant: str) -> None:
        """Give a tenant's slot back: whose turn it is gets it; calls that were cancelled meanwhile are passed over."""
        self._active.leave(tenant)
        self._free += 1
        began = self._began[tenant].popleft()
        if not self._began[tenant]:
            del self._began[tenant]
        rest = min(self._clock() - began, LONGEST_REST)
        if rest > 0 and self._rests(tenant):
            asyncio.get_running_loop().call_later(rest, self._end, tenant)
            self._dispatch()
        else:
            self._end(tenant)

    def _rests(self, tenant: str) -> bool:
        bounded = self._beside_others < self._at_once
        return bounded and tenant in self._waiting and self._active.besides(tenant)

    def _end(self, tenant: str) -> None:
        """A tenant's slot, and its rest, is over."""
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._dispatch()

    def _dispatch(self) -> None:
        while self._free and (next_ := self._next_tenant()) is not None:
            self._let_in(next_)

    def _may_have_more(self, tenant: str) -> bool:
        held = self._held[tenant]
        return held < self._beside_others or (held < self._at_once and not self._active.besides(tenant))

    def _next_tenant(self) -> str | None:
        """Whoever waits in vain holds a slot, with whose end it is asked for again."""
        may = filter(self._may_have_more, self._waiting)
        return min(may, key=lambda tenant: (self._held[tenant], self._turns.get(tenant, 0)), default=None)

    def _let_in(self, tenant: str) -> None:
        calls = self._waiting[tenant]
        come = calls.popleft()
        if not calls:
            del self._waiting[tenant]
        if not come.done():  # else it was cancelled
            come.set_result(None)
            self._take(tenant)

    def _take(self, tenant: str) -> None:
        self._free -= 1
        self._held[tenant] += 1
        self._began.setdefault(tenant, deque()).append(self._clock())
        self._turn += 1
        self._turns[tenant] = self._turn
