"""Cold starts: one for each adapter however many wait for it, a few at once, in turns between tenants."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from trivet.adapters.on_demand.settings import OnDemandSettings
from trivet.errors import Overloaded
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.types.variant import VersionRef

Start = Callable[[VersionRef, str, AsyncExitStack], Awaitable[None]]
_FIRST_GUESS = 1.0  # seconds of a cold start
_WEIGHT = 0.2  # of the newest one in the mean
_LONGEST_RETRY = 60.0


@dataclass(slots=True, eq=False)
class _Arrival:
    """`held`: what it holds for those who wait, until the last of them has left. `began`: it has had its turn."""

    tenant: str
    waiting: int = 0
    began: bool = False
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    task: asyncio.Task[None] | None = None


class Arrivals:
    """`start` brings an adapter in and puts what keeps it there into the stack. All calls come from one event loop.

    A cold start takes its turn under the name of the tenant who asked first. When nobody waits for one any more it is
    dropped, unless it has begun: then it is finished.
    """

    def __init__(self, settings: OnDemandSettings, start: Start) -> None:
        self._settings = settings
        self._start = start
        self._turns = FairSemaphore(settings.at_once, max(1, settings.at_once - 1))
        self._arrivals: dict[VersionRef, _Arrival] = {}
        self._waiting: Counter[str] = Counter()  # arrivals that have not begun, by tenant
        self._seconds = _FIRST_GUESS

    @property
    def waiting(self) -> int:
        """Cold starts that wait for their turn."""
        return sum(self._waiting.values())

    @asynccontextmanager
    async def joined(self, ref: VersionRef, tenant: str) -> AsyncIterator[None]:
        """Wait until the adapter is there; it stays while this is held.

        Raises what `start` raises, and Overloaded where too many wait.
        """
        arrival = self._arrivals.get(ref)
        if arrival is None:
            self._make_room(tenant)
            self._waiting[tenant] += 1
            arrival = self._arrivals[ref] = _Arrival(tenant)
            arrival.task = asyncio.create_task(self._run(ref, arrival), name=f"cold start of {ref}")
            arrival.task.add_done_callback(partial(self._ended, arrival))
        assert arrival.task is not None
        arrival.waiting += 1
        try:
            await asyncio.shield(arrival.task)
            yield
        finally:
            arrival.waiting -= 1
            if not arrival.waiting:
                await self._left(ref, arrival)

    async def close(self) -> None:
        """Start nothing any more, and give up what has begun."""
        tasks = [arrival.task for arrival in self._arrivals.values() if arrival.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _left(self, ref: VersionRef, arrival: _Arrival) -> None:
        assert arrival.task is not None
        if arrival.task.done():
            self._forget(ref, arrival)
            await arrival.held.aclose()
        elif not arrival.began:
            self._forget(ref, arrival)
            arrival.task.cancel()

    def _forget(self, ref: VersionRef, arrival: _Arrival) -> None:
        if self._arrivals.get(ref) is arrival:
            del self._arrivals[ref]

    def _begin(self, arrival: _Arrival) -> None:
        """It waits no more."""
        arrival.began = True
        self._waiting[arrival.tenant] -= 1
        if not self._waiting[arrival.tenant]:
            del self._waiting[arrival.tenant]

    def _ended(self, arrival: _Arrival, task: asyncio.Task[None]) -> None:
        if not arrival.began:  # cancelled, perhaps before its first step, or given way
            self._begin(arrival)
        if not task.cancelled():
            task.exception()  # it is its callers' to raise, and they may be gone

    async def _run(self, ref: VersionRef, arrival: _Arrival) -> None:
        loop, tenant = asyncio.get_running_loop(), arrival.tenant
        try:
            await self._turns.acquire(tenant)
            self._begin(arrival)
            started = loop.time()
            try:
                await self._start(ref, tenant, arrival.held)
            finally:
                self._turns.release(tenant)
                self._seconds += _WEIGHT * (loop.time() - started - self._seconds)
        except BaseException:
            self._forget(ref, arrival)
            await arrival.held.aclose()
            raise
        if not arrival.waiting:
            self._forget(ref, arrival)
            await arrival.held.aclose()

    def _make_room(self, tenant: str) -> None:
        settings, waiting = self._settings, self.waiting
        if self._waiting[tenant] >= settings.max_waiting_per_tenant:
            raise self._overloaded("adapters of this tenant", settings.max_waiting_per_tenant)
        full = self._overloaded("adapters", settings.max_waiting)
        if waiting >= settings.max_waiting and not self._turns.give_way(tenant, full):
            raise full

    def _overloaded(self, subject: str, limit: int) -> Overloaded:
        """To be tried again when about half of those that wait now have come."""
        seconds = self._seconds * (1 + self.waiting / 2) / self._settings.at_once
        return Overloaded(subject, limit, round(min(_LONGEST_RETRY, max(1.0, seconds)), 1))
