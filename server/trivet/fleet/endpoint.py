"""One node of a fleet, with the gateway's own books of it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from trivet.fleet.backoff import Backoff
from trivet.fleet.remote.remote_engine import RemoteEngine

REMEMBERED = 10_000  # prefixes; the engine may have evicted more
NEW = 0.1  # of its weight, while it is new
STATES = ("ready", "preparing", "starting", "draining", "ejected", "away")
EJECT_AFTER = 2  # failures one after the other


class Endpoint:
    """`prepared`: its adapters are loaded and the static prefixes computed, in the life that its engine has now.

    Books are of that life: a new one begins with nothing.
    """

    def __init__(self, engine: RemoteEngine, slow_start: float, clock: Callable[[], float]) -> None:
        self.engine = engine
        self.prepared = False
        self.problem = ""
        self.preparing: asyncio.Task[None] | None = None
        self.warming: dict[tuple[str | None, bytes], asyncio.Task[None]] = {}
        self.listed = True
        self._loaded: set[str] = set()
        self._computed: OrderedDict[bytes, None] = OrderedDict()
        self._life = 0
        self._slow_start = slow_start
        self._clock = clock
        self._eligible_since: float | None = None
        self._failures = 0
        self._ejected_until = 0.0
        self._ejections = Backoff(1.0, 30.0)

    @property
    def address(self) -> str:
        """Where it is."""
        return self.engine.address

    @property
    def name(self) -> str:
        """What it is called in its own configuration; empty before it was first reached."""
        return "" if self.engine.facts is None else self.engine.facts.name

    @property
    def eligible(self) -> bool:
        """Whether it may be asked anything new."""
        return (
            self.prepared
            and self.engine.ready
            and not self.engine.draining
            and self._life == self.engine.incarnation
            and self._clock() >= self._ejected_until
        )

    @property
    def state(self) -> str:
        """In a word, one of `STATES`."""
        if self.engine.view is None:
            return "away"
        if not self.engine.ready:
            return "starting"
        if self.engine.draining:
            return "draining"
        if not self.prepared:
            return "preparing"
        return "ready" if self.eligible else "ejected"

    @property
    def weight(self) -> float:
        """Requests that it takes at once; less in its first seconds, while its caches are cold."""
        facts = self.engine.facts
        whole = float(facts.max_requests) if facts else 1.0
        if self._eligible_since is None or not self._slow_start:
            return whole
        age = (self._clock() - self._eligible_since) / self._slow_start
        return whole * max(NEW, min(1.0, age))

    @property
    def places(self) -> int:
        """Adapters that it has room for."""
        facts = self.engine.facts
        return facts.max_adapters if facts else 0

    def follow(self) -> bool:
        """Look at the life that its engine has; whether it is another one than before."""
        view = self.engine.view
        told = set() if view is None or not view.ready else set(view.adapters)
        if self.engine.ready and self._life != self.engine.incarnation:
            self._life = self.engine.incarnation
            self.prepared = False
            self._computed.clear()
            self._loaded = told
            return True
        if not self.engine.ready:
            self.prepared = False
            self._loaded.clear()
        else:
            self._loaded = told
        return False

    def make_eligible(self) -> None:
        """It is prepared: from now on its share grows to the whole."""
        self.prepared = True
        self.problem = ""
        self._eligible_since = self._clock()

    def has(self, adapter: str | None) -> bool:
        """Whether the adapter is loaded there, by what it said last and what we have done since."""
        return adapter is None or adapter in self._loaded

    def loaded(self, adapter: str) -> None:
        """We had it loaded."""
        self._loaded.add(adapter)

    def dropped(self, adapter: str) -> None:
        """It has it no more."""
        self._loaded.discard(adapter)

    def has_computed(self, key: bytes) -> bool:
        """Whether it went through this prefix."""
        return key in self._computed

    def computed(self, key: bytes) -> None:
        """It went through this prefix."""
        self._computed[key] = None
        self._computed.move_to_end(key)
        while len(self._computed) > REMEMBERED:
            self._computed.popitem(last=False)

    def failed(self) -> None:
        """A request could not be brought to it; after some, none is for a while, each time longer."""
        self._failures += 1
        if self._failures >= EJECT_AFTER:
            self._failures = 0
            self._ejected_until = self._clock() + self._ejections.next_delay()

    def answered(self) -> None:
        """A request went well."""
        self._failures = 0
        self._ejections.reset()
