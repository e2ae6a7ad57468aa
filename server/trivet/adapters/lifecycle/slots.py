"""The engine's adapter slots, leased in turns, so that no adapter holds one for ever while others wait.

vLLM runs at most `max_loras` adapters in one step. Its scheduler (0.32, `Scheduler.schedule`) fills the step with the
running requests and then passes over every waiting one whose adapter is not among theirs once the step is full. So an
adapter that always has a stream running keeps its slot, and the others starve. The leases here are taken before a
request reaches the engine, which then never sees more adapters at once than it can run.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

WaitObserver = Callable[[float], None]


@dataclass(slots=True)
class _Lease:
    """One adapter's hold on one slot: since when (seconds of the event loop's clock), and by how many requests."""

    since: float
    requests: int = 0


class AdapterSlots:
    """The slots of one backend. All calls come from one event loop; adapters go by their engine names.

    At most `slots` adapters hold a lease. The holder of one admits further requests at once while no adapter waits, or
    while its `quantum` (seconds) has not run out. After that its requests wait like everybody's, its running ones
    finish, and the slot goes to the adapter that has waited longest, with all its requests that wait. A lease without
    requests ends at once. So an adapter waits for ceil(adapters that wait / slots) x (quantum + longest stream left)
    at most. The base model needs no slot and never waits. With a quantum of 0 there are no leases.

    `on_wait` is told the seconds that each request of an adapter waited, 0 included, also of those that gave up.
    """

    def __init__(self, *, slots: int, quantum: float, on_wait: WaitObserver | None = None) -> None:
        """ValueError without a slot, or with a negative quantum."""
        if slots < 1:
            raise ValueError(f"{slots} adapter slots, expected at least 1")
        if not quantum >= 0:
            raise ValueError(f"a quantum of {quantum} s, expected 0 or more")
        self._slots = slots
        self._quantum = quantum
        self._on_wait = on_wait
        self._leases: dict[str, _Lease] = {}
        # By adapter, the one that has waited longest first; no adapter is here without a request that waits.
        self._line: OrderedDict[str, list[asyncio.Future[None]]] = OrderedDict()

    @property
    def leased(self) -> int:
        """Slots that are taken."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return sum(map(len, list(self._line.values())))  # a copy, made at once: metrics are read from another thread

    def admits(self, adapter: str | None) -> bool:
        """Whether a request of this adapter would enter without waiting, right now."""
        if adapter is None or not self._quantum:
            return True
        lease = self._leases.get(adapter)
        if lease is None:
            return not self._line and self._has_room()
        return not self._line or asyncio.get_running_loop().time() - lease.since < self._quantum

    @asynccontextmanager
    async def enter(self, adapter: str | None) -> AsyncIterator[None]:
        """Hold a slot for one request of the adapter, from before its hand-over to the engine until it has ended.

        Cancelling it, while it waits or in the moment of its turn, leaves nothing behind.
        """
        if adapter is None or not self._quantum:
            yield
            return
        if self.admits(adapter):
            self._observe(0.0)
            self._lease(adapter).requests += 1
        else:
            await self._wait(adapter)
        try:
            yield
        finally:
            self._leave(adapter)

    async def _wait(self, adapter: str) -> None:
        loop = asyncio.get_running_loop()
        started, turn = loop.time(), loop.create_future()
        self._line.setdefault(adapter, []).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._give_up(adapter, turn)
            else:
                self._leave(adapter)  # cancelled in the moment of its turn: the slot goes on
            raise
        finally:
            self._observe(loop.time() - started)

    def _give_up(self, adapter: str, turn: asyncio.Future[None]) -> None:
        turns = self._line.get(adapter, [])
        if turn not in turns:
            return
        turns.remove(turn)
        if not turns:
            del self._line[adapter]
            self._take_turns()  # a holder may have waited behind this adapter alone

    def _leave(self, adapter: str) -> None:
        lease = self._leases[adapter]
        lease.requests -= 1
        if not lease.requests:
            del self._leases[adapter]
            self._take_turns()

    def _take_turns(self) -> None:
        """Let in those whose turn it is. A holder's turn gives it another quantum, and takes no further slot."""
        while self._line:
            adapter = next(iter(self._line))
            if adapter not in self._leases and not self._has_room():
                return
            turns = [turn for turn in self._line.pop(adapter) if not turn.done()]
            if not turns:
                continue  # all cancelled, and not yet gone
            lease = self._lease(adapter)
            lease.since = asyncio.get_running_loop().time()
            lease.requests += len(turns)
            for turn in turns:
                turn.set_result(None)

    def _lease(self, adapter: str) -> _Lease:
        lease = self._leases.get(adapter)
        if lease is None:
            lease = self._leases[adapter] = _Lease(asyncio.get_running_loop().time())
        return lease

    def _has_room(self) -> bool:
        return len(self._leases) < self._slots

    def _observe(self, seconds: float) -> None:
        if self._on_wait is not None:
            self._on_wait(seconds)
