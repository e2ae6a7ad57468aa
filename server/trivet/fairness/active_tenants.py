"""Which tenants use a thing: what one of them may take of it depends on whether it is alone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

ABOUT = 1.0  # seconds after its last use for which a tenant still counts: one that asks for one thing after the other


class ActiveTenants:
    """A tenant is active while it waits for the thing or uses it, and for a second more. Every step takes constant time
    but for tenants that are forgotten, each of them once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._inside: Counter[str] = Counter()
        self._left: dict[str, float] = {}  # when; the last one at the end

    def enter(self, tenant: str) -> None:
        """It waits or uses, once more."""
        self._inside[tenant] += 1

    def leave(self, tenant: str) -> None:
        """It does not any more, once."""
        now = self._clock()
        self._inside[tenant] -= 1
        if not self._inside[tenant]:
            del self._inside[tenant]
        self._left.pop(tenant, None)
        self._left[tenant] = now
        while (oldest := next(iter(self._left))) != tenant and self._left[oldest] < now - ABOUT:
            del self._left[oldest]

    def besides(self, tenant: str) -> bool:
        """Whether another one is active."""
        if len(self._inside) > (tenant in self._inside):
            return True
        last = next((other for other in reversed(self._left) if other != tenant), None)
        return last is not None and self._clock() - self._left[last] <= ABOUT
