"""The bounded queue in front of the engine: what does not fit is refused at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from trivet.errors import Draining, Overloaded
from trivet.fairness.active_tenants import ActiveTenants
from trivet.pipeline.fair_queue import FairQueue, Waiter

RETRY_AFTER = 1.0
MAX_VICTIMS = 64  # for one newcomer


class Permit:
    """A request's place among those that run."""

    waits = True

    def __init__(self, admission: Admission, tenant: str, tokens: int) -> None:
        self.held = True
        self.tenant = tenant
        self.tokens = tokens
        self._admission = admission

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Let others have the place while this request waits for something else; then it returns before all others.

        Meanwhile it counts among those that wait for a permit, but for other tenants if its own tenant has more than
        half of the queue aside: these give way to nobody, so that others could not wait at all.
        """
        self._admission.step_aside(self)
        try:
            yield
        finally:
            self._admission.step_up(self)
        await self._admission.return_to(self)


class Admission:
    """At most `max_running` at once, of one tenant at most `beside_others` while there are others; at most `max_queued`
    more, and `max_queued_tokens` of prompt, wait their turn.

    The next place goes to the tenant that has the fewest, in turn between those that have as many; within a tenant by
    priority (0 first), then in order of arrival. Where there is no room to wait, the last of the tenant that takes up
    most of it gives way to one that takes up less. All calls come from one event loop.
    """

    def __init__(
        self, *, max_running: int, max_queued: int, max_queued_tokens: int, beside_others: int | None = None
    ) -> None:
        self._max_running = max_running
        self._beside_others = max_running if beside_others is None else beside_others
        self._active = ActiveTenants()
        self._max_queued = max_queued
        self._max_queued_tokens = max_queued_tokens
        self._running = 0
        self._queued = 0
        self._queued_tokens = 0
        self._aside = Counter[str]()  # of those queued, by tenant; they wait for something else than a permit
        self._aside_tokens = Counter[str]()
        self._permits: Counter[str] = Counter()  # by tenant
        self._queue = FairQueue()
        self._returning: deque[Waiter] = deque()  # they had a place before, and go ahead of all others
        self._tickets = itertools.count()
        self._draining = False
        self._on_demand: Callable[[], None] = lambda: None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def in_flight(self) -> int:
        """Admitted and waiting."""
        return self._running + self._queued

    @property
    def running(self) -> int:
        """Those that have a place now."""
        return self._running

    @property
    def max_running(self) -> int:
        """How many places there are."""
        return self._max_running

    @property
    def spare(self) -> bool:
        """Whether nobody waits for anything, and the server is not stopping."""
        return not self._queued and not self._draining

    def on_demand(self, told: Callable[[], None]) -> None:
        """`told` is called whenever somebody takes a place or has to wait for one, and when the server is to stop."""
        self._on_demand = told

    @asynccontextmanager
    async def enter(self, *, tokens: int, priority: int = 0, tenant: str = "") -> AsyncIterator[Permit]:
        """Hold one place; `tokens` is an estimate of the prompt's length.

        Raises Overloaded, without waiting when there is no room to wait, or later when it has to give way to another
        tenant; Draining when the server is stopping.
        """
        if self._draining:
            raise Draining("the server is stopping")
        self._active.enter(tenant)
        try:
            await self._admitted(tokens, priority, tenant)
            permit = Permit(self, tenant, tokens)
            try:
                yield permit
            finally:
                if permit.held:
                    self._free_permit(tenant)
                self._admit_next()
        finally:
            self._active.leave(tenant)

    async def _admitted(self, tokens: int, priority: int, tenant: str) -> None:
        at_once = self._running < self._max_running and tenant not in self._queue and self._may_have_more(tenant)
        if self._queued or not at_once:
            self._make_room(tenant, tokens)
        if at_once:
            self._take_permit(tenant)
            self._idle.clear()
        else:
            waiter = self._waiter(tenant, tokens, priority)
            self._queue.join(waiter)
            await self._wait(waiter)

    def step_aside(self, permit: Permit) -> None:
        """See `Permit.aside`, which calls these three in turn."""
        tenant = permit.tenant
        permit.held = False
        self._free_permit(tenant)
        self._aside[tenant] += 1
        self._aside_tokens[tenant] += permit.tokens
        self._enter_queue(permit.tokens)
        self._admit_next()

    def step_up(self, permit: Permit) -> None:
        """What it waited for is there, or will not be."""
        self._aside[permit.tenant] -= 1
        self._aside_tokens[permit.tenant] -= permit.tokens
        if not self._aside[permit.tenant]:
            del self._aside[permit.tenant], self._aside_tokens[permit.tenant]
        self._leave_queue(permit.tokens)

    async def return_to(self, permit: Permit) -> None:
        """Have a place again."""
        if self._running < self._max_running:
            self._take_permit(permit.tenant)
        else:
            waiter = self._waiter(permit.tenant, permit.tokens, 0)
            self._returning.append(waiter)
            await self._wait(waiter)
        permit.held = True

    async def drain(self) -> None:
        """Take nothing new and return when what is in flight has ended."""
        self._draining = True
        self._on_demand()
        await self._idle.wait()

    def _make_room(self, tenant: str, tokens: int) -> None:
        """Let those give way who take up more of the queue; raises Overloaded if that is not enough."""
        victims = 0
        beyond = _beyond(self._aside, self._max_queued // 2, tenant)
        while self.in_flight - beyond >= self._max_running + self._max_queued:
            victim = self._queue.fuller_than(tenant)
            if victim is None:
                raise self._too_many_requests()
            self._turn_away(victim, self._too_many_requests())
        beyond = _beyond(self._aside_tokens, self._max_queued_tokens // 2, tenant)
        while self._queued_tokens - beyond + tokens > self._max_queued_tokens:
            victim = self._queue.longer_than(tenant, tokens) if victims < MAX_VICTIMS else None
            if victim is None:
                raise self._too_many_tokens()
            self._turn_away(victim, self._too_many_tokens())
            victims += 1

    def _too_many_requests(self) -> Overloaded:
        return Overloaded("requests", self._max_queued, RETRY_AFTER)

    def _too_many_tokens(self) -> Overloaded:
        return Overloaded("prompt tokens", self._max_queued_tokens, RETRY_AFTER)

    def _turn_away(self, waiter: Waiter, error: Overloaded) -> None:
        self._queue.leave(waiter)
        self._stop_waiting(waiter)
        if not waiter.admitted.done():
            waiter.admitted.set_exception(error)

    def _waiter(self, tenant: str, tokens: int, priority: int) -> Waiter:
        future = asyncio.get_running_loop().create_future()
        return Waiter(tenant, priority, next(self._tickets), tokens, future)

    async def _wait(self, waiter: Waiter) -> None:
        """Until it has a place; it stands in the line, or among those who return, already."""
        self._enter_queue(waiter.tokens)
        try:
            await waiter.admitted
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: Waiter) -> None:
        if waiter.waiting:
            if waiter in self._returning:
                self._returning.remove(waiter)
            else:
                self._queue.leave(waiter)
            self._stop_waiting(waiter)
        elif not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
            self._free_permit(waiter.tenant)  # admitted in the moment of the cancellation: pass the place on
        self._admit_next()

    def _stop_waiting(self, waiter: Waiter) -> None:
        waiter.waiting = False
        self._leave_queue(waiter.tokens)

    def _admit_next(self) -> None:
        while self._running < self._max_running and (self._returning or self._queue):
            waiter = (
                self._returning.popleft()
                if self._returning
                else self._queue.take_next(self._permits, self._may_have_more)
            )
            if waiter is None:
                break
            self._stop_waiting(waiter)
            if not waiter.admitted.done():  # else it was cancelled, and its task has not run since
                self._take_permit(waiter.tenant)
                waiter.admitted.set_result(None)
        if not self.in_flight:
            self._idle.set()

    def _may_have_more(self, tenant: str) -> bool:
        return self._permits[tenant] < self._beside_others or not self._active.besides(tenant)

    def _take_permit(self, tenant: str) -> None:
        self._running += 1
        self._permits[tenant] += 1
        self._queue.had_turn(tenant)
        self._on_demand()

    def _free_permit(self, tenant: str) -> None:
        self._running -= 1
        self._permits[tenant] -= 1
        if not self._permits[tenant]:
            del self._permits[tenant]

    def _enter_queue(self, tokens: int) -> None:
        self._queued += 1
        self._queued_tokens += tokens
        self._on_demand()

    def _leave_queue(self, tokens: int) -> None:
        self._queued -= 1
        self._queued_tokens -= tokens


def _beyond(aside: Counter[str], share: int, tenant: str) -> int:
    """What other tenants have aside beyond their share."""
    return sum(max(0, count - share) for other, count in aside.items() if other != tenant)
