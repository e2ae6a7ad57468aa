"""Streams that follow a rollout: few per caller, at most a message a second, ended when the server stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager

from trivet.errors import Draining, Overloaded
from trivet.rollouts.ports.operations import RolloutStatus
from trivet.types.request import Caller

_RETRY_AFTER = 5.0


class RolloutWatches:
    """The streams that are open."""

    def __init__(self, *, most: int = 64, most_of_caller: int = 4, interval: float = 1.0) -> None:
        """`interval`: seconds between two messages of a stream, at least."""
        self._most = most
        self._most_of_caller = most_of_caller
        self._interval = interval
        self._by_caller: Counter[tuple[str, str]] = Counter()
        self._closed = asyncio.Event()

    def close(self) -> None:
        """End every stream, now and later ones at once."""
        self._closed.set()

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Around a stream; raises Overloaded if there are too many of this key, or in all."""
        key = (caller.tenant, caller.key)
        if self._by_caller[key] >= self._most_of_caller:
            raise Overloaded("watches of one key", self._most_of_caller, _RETRY_AFTER)
        if self._by_caller.total() >= self._most:
            raise Overloaded("watches", self._most, _RETRY_AFTER)
        self._by_caller[key] += 1
        try:
            yield
        finally:
            self._by_caller[key] -= 1

    async def follow(self, source: AsyncIterator[RolloutStatus]) -> AsyncGenerator[RolloutStatus]:
        """What the source has, not too often. Raises Draining when the streams are closed."""
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            while True:
                following = asyncio.ensure_future(anext(source, None))
                try:
                    await asyncio.wait({following, closing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not following.done():
                        following.cancel()
                        await asyncio.wait({following})
                if closing.done():
                    raise Draining("the server is stopping")
                status = following.result()
                if status is None:
                    return
                yield status
                await asyncio.wait({closing}, timeout=self._interval)
        finally:
            closing.cancel()
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
