"""What may be requested after a kill: what was acknowledged, and either way what was under way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Order = Literal["load", "unload"]


class Desired:
    """The adapters that operators want loaded, as seen from outside; for several threads."""

    def __init__(self) -> None:
        self.orders: Counter[Order] = Counter()
        self.undecided = 0
        self._certain: set[str] = set()
        self._open: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, order: Order, ref: str) -> None:
        """It is given."""
        with self._lock:
            self.orders[order] += 1
            self._open.add(ref)

    def done(self, order: Order, ref: str) -> None:
        """It was acknowledged."""
        with self._lock:
            self._open.remove(ref)
            (self._certain.add if order == "load" else self._certain.discard)(ref)

    @contextmanager
    def ordered(self, order: Order, ref: str) -> Iterator[None]:
        """Around the call; one that raises leaves open whether it was done."""
        self.begin(order, ref)
        yield
        self.done(order, ref)

    def settle(self, requested: set[str]) -> list[str]:
        """What is wrong with the requests that a restart found; from here on these are certain."""
        least, most = self._certain - self._open, self._certain | self._open
        wrong = [f"{ref} was acknowledged and is not requested any more" for ref in sorted(least - requested)]
        wrong += [f"{ref} is requested, and nobody asked for it" for ref in sorted(requested - most)]
        self.undecided += len(self._open)
        self._certain, self._open = set(requested), set()
        return wrong
