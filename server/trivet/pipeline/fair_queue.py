"""Requests that wait for a permit: which is next, and which gives way when there is no more room.

Fair between tenants, so that one that sends much keeps no other out: the next place goes to the tenant with the fewest
places, and when the line is full, the newest of the tenant that takes up most of it gives way to one that takes up less
(the longest queue is dropped from: Suter, Lakshman, Stiliadis, Choudhury, "Design considerations for supporting TCP
with per-flow queueing", 1998). Between tenants with as many places it is the one whose turn was longest ago; within a
tenant the urgent go first, then those who came first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Waiter:
    """One who waits; `tokens` is an estimate of its prompt's length, `ticket` grows with each arrival."""

    tenant: str
    priority: int
    ticket: int
    tokens: int
    admitted: asyncio.Future[None]
    waiting: bool = True


@dataclass(slots=True)
class _TenantQueue:
    """One tenant's waiters, by priority and then in order of arrival."""

    by_priority: dict[int, dict[int, Waiter]] = field(default_factory=dict)
    count: int = 0
    tokens: int = 0

    def join(self, waiter: Waiter) -> None:
        self.by_priority.setdefault(waiter.priority, {})[waiter.ticket] = waiter
        self.count += 1
        self.tokens += waiter.tokens

    def leave(self, waiter: Waiter) -> None:
        equals = self.by_priority[waiter.priority]
        del equals[waiter.ticket]
        if not equals:
            del self.by_priority[waiter.priority]
        self.count -= 1
        self.tokens -= waiter.tokens

    def first(self) -> Waiter:
        return next(iter(self.by_priority[min(self.by_priority)].values()))

    def last(self) -> Waiter:
        return next(reversed(self.by_priority[max(self.by_priority)].values()))


class FairQueue:
    """A step takes time for each tenant that waits, not for each request."""

    def __init__(self) -> None:
        self._queues: dict[str, _TenantQueue] = {}
        self._turns: dict[str, int] = {}  # each tenant's last one; there are as many as keys name tenants
        self._turn = 0

    def __bool__(self) -> bool:
        return bool(self._queues)

    def join(self, waiter: Waiter) -> None:
        """Wait."""
        self._queues.setdefault(waiter.tenant, _TenantQueue()).join(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Wait no more; KeyError if it did not."""
        line = self._queues[waiter.tenant]
        line.leave(waiter)
        if not line.count:
            del self._queues[waiter.tenant]

    def __contains__(self, tenant: str) -> bool:
        return tenant in self._queues

    def take_next(self, permits: Mapping[str, int], may_have_more: Callable[[str], bool]) -> Waiter | None:
        """Whose turn it is: it waits no more. None if nobody `may_have_more`. `permits`: how many each tenant has."""

        def turn(tenant: str) -> tuple[int, int]:
            return permits.get(tenant, 0), self._turns.get(tenant, 0)

        tenant = min(filter(may_have_more, self._queues), key=turn, default=None)
        if tenant is None:
            return None
        waiter = self._queues[tenant].first()
        self.leave(waiter)
        return waiter

    def had_turn(self, tenant: str) -> None:
        """One of this tenant got a permit, whether it waited or not."""
        self._turn += 1
        self._turns[tenant] = self._turn

    def fuller_than(self, tenant: str) -> Waiter | None:
        """Who gives way to one more of this tenant where the line has too many; None if it has no smaller part."""
        return self._last_of_longest(tenant, 1, lambda line: line.count)

    def longer_than(self, tenant: str, tokens: int) -> Waiter | None:
        """Who gives way to so many more tokens of this tenant where the line has too many of them."""
        return self._last_of_longest(tenant, tokens, lambda line: line.tokens)

    def _last_of_longest(self, tenant: str, more: int, measure: Callable[[_TenantQueue], int]) -> Waiter | None:
        if not self._queues:
            return None
        longest = max(self._queues.values(), key=measure)
        own = self._queues.get(tenant, _TenantQueue())
        return longest.last() if measure(longest) > measure(own) + more else None
