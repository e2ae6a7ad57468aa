"""Copies on the disk of adapters that requests choose: so many bytes, and the one used longest ago goes first."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from trivet.types.variant import VersionRef

MOST = 4096


class Copies:
    """`delete` takes one out of the engine and off the disk. All calls come from one event loop."""

    def __init__(self, most_bytes: int, delete: Callable[[VersionRef], Awaitable[None]], most: int = MOST) -> None:
        self._most_bytes = most_bytes
        self._most = most
        self._delete = delete
        self._sizes: OrderedDict[VersionRef, int] = OrderedDict()
        self._used: Counter[VersionRef] = Counter()

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return sum(list(self._sizes.values()))  # a copy, made at once: metrics are read from another thread

    def __len__(self) -> int:
        return len(self._sizes)

    @contextmanager
    def use(self, ref: VersionRef) -> Iterator[None]:
        """It does not go meanwhile."""
        self._used[ref] += 1
        if ref in self._sizes:
            self._sizes.move_to_end(ref)
        try:
            yield
        finally:
            self._used[ref] -= 1
            if not self._used[ref]:
                del self._used[ref]

    async def put(self, ref: VersionRef, size: int) -> bool:
        """There is a copy of so many bytes; others go for it. False if too many are in use for it to stay."""
        self._sizes[ref] = size
        self._sizes.move_to_end(ref)
        while self.bytes > self._most_bytes or len(self._sizes) > self._most:
            victim = next((one for one in self._sizes if one != ref and one not in self._used), None)
            if victim is None:
                self._sizes.pop(ref, None)
                return False
            del self._sizes[victim]
            await self._delete(victim)
        return True

    def gone(self, ref: VersionRef) -> None:
        """There is none any more."""
        self._sizes.pop(ref, None)
