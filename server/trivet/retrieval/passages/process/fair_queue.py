"""Who is next: start-time fair queueing over tenants.

P. Goyal, H. Vin, H. Cheng: Start-time fair queueing (SIGCOMM 1996). A tenant's turn comes by the time that its
documents have taken so far, so that one with a few small documents does not wait for all of another's large ones.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items of tenants; each tenant's are first in, first out."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()
        self._used: dict[str, float] = {}  # virtual time; of tenants that are waiting or being served
        self._serving: dict[str, int] = {}
        self._now = 0.0  # virtual time at which the last item was taken

    def __len__(self) -> int:
        return sum(len(items) for items in self._waiting.values())

    def put(self, tenant: str, item: Item) -> None:
        """Add an item. Who has waited for nothing gets no credit for it."""
        self._used[tenant] = max(self._used.get(tenant, 0.0), self._now)
        self._waiting.setdefault(tenant, deque()).append(item)

    def take(self, at_most: float = math.inf) -> tuple[str, Item] | None:
        """The next item, whose cost `charge` is told of; None if there is none, or none of a tenant of which fewer than
        `at_most` are being served."""
        tenants = [one for one in self._waiting if self._serving.get(one, 0) < at_most]
        if not tenants:
            return None
        tenant = min(tenants, key=lambda one: self._used[one])
        item = self._waiting[tenant].popleft()
        if not self._waiting[tenant]:
            del self._waiting[tenant]
        self._now = max(self._now, self._used[tenant])
        self._serving[tenant] = self._serving.get(tenant, 0) + 1
        return tenant, item

    def charge(self, tenant: str, seconds: float) -> None:
        """An item that was taken is done and took so long."""
        self._used[tenant] = self._used.get(tenant, 0.0) + seconds
        self._serving[tenant] -= 1
        if not self._serving[tenant]:
            del self._serving[tenant]
        for idle in [one for one in self._used if one not in self._waiting and one not in self._serving]:
            if self._used[idle] <= self._now:
                del self._used[idle]

    def remove(self, tenant: str, item: Item) -> bool:
        """Take an item out; False if it is not waiting."""
        items = self._waiting.get(tenant)
        if items is None or item not in items:
            return False
        items.remove(item)
        if not items:
            del self._waiting[tenant]
        return True

    def newest_of_longest(self) -> tuple[str, Item, int]:
        """Of the tenant with the most items waiting: its name, the last one, and how many; there must be one."""
        tenant = max(self._waiting, key=lambda one: len(self._waiting[one]))
        return tenant, self._waiting[tenant][-1], len(self._waiting[tenant])

    def waiting(self, tenant: str) -> int:
        """How many items of a tenant wait."""
        return len(self._waiting.get(tenant, ()))

    def serving(self, tenant: str) -> int:
        """How many items of a tenant are taken and not charged yet."""
        return self._serving.get(tenant, 0)
