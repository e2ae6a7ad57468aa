"""The model: engines with streams and places for adapters and prefixes, requests, gateways that know a part of it."""

from __future__ import annotations

import bisect
import heapq
import itertools
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PREFIXES = 3  # of an adapter


@dataclass(frozen=True)
class Model:
    """Seconds, and counts for each engine. A key is a prefix under an adapter; each adapter has three."""

    engines: int = 8
    streams: int = 16
    places: int = 8
    prefixes: int = 40
    keys: int = 72
    zipf: float = 1.1
    rate: float = 75.0  # requests per second, of all
    seconds: float = 120.0
    cold: float = 0.30  # prefill
    warm: float = 0.03
    load: float = 0.5  # of an adapter
    decode: float = 1.2  # mean
    gateways: int = 4
    report: float = 1.0  # how often an engine tells its load
    burst: float = 0.3  # share of one key in 5 of each 20 seconds
    lost_at: float = 0.5  # share of the time after which an engine is lost
    seed: int = 1


@dataclass(eq=False, slots=True)
class Request:
    """One request. `first`: when it had its first token."""

    key: int
    gateway: int
    arrived: float
    decode: float
    first: float | None = None
    hit: bool = False
    retried: bool = False
    lost: bool = False
    warming: bool = False


@dataclass(eq=False)
class Engine:
    """`running` and `waiting` are requests; of `resident` adapters and `computed` prefixes the last used is last."""

    name: str
    alive: bool = True
    running: set[Request] = field(default_factory=set)
    waiting: deque[Request] = field(default_factory=deque)
    resident: OrderedDict[int, float] = field(default_factory=OrderedDict)  # and when it is loaded
    computed: OrderedDict[int, None] = field(default_factory=OrderedDict)

    def has(self, key: int, now: float) -> bool:
        """Whether the key's adapter is loaded there by now."""
        return self.resident.get(key // PREFIXES, now + 1) <= now

    @property
    def load(self) -> int:
        """Requests that it has."""
        return len(self.running) + len(self.waiting)


@dataclass
class Gateway:
    """What one gateway knows: its own requests exactly, the others' as they were told."""

    own: dict[str, int] = field(default_factory=dict)
    told: dict[str, tuple[int, int]] = field(default_factory=dict)  # load, and its own part of it
    books: dict[str, OrderedDict[int, None]] = field(default_factory=dict)

    def load(self, engine: str) -> int:
        """See `RemoteEngine.load`."""
        told, own = self.told.get(engine, (0, 0))
        return self.own.get(engine, 0) + max(0, told - own)


Rule = Callable[["World", Request], Engine]


class World:
    """Runs one rule over one stream of requests. `loads` counts adapter loads; `samples` are max/mean loads."""

    def __init__(self, model: Model, rule: Rule) -> None:
        self.model = model
        self.now = 0.0
        self.engines = {f"10.0.0.{number}:7610": Engine(f"10.0.0.{number}:7610") for number in range(model.engines)}
        self.gateways = [Gateway() for _ in range(model.gateways)]
        self.loads = 0
        self.requests: list[Request] = []
        self.samples: list[float] = []
        self._rule = rule
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    @property
    def alive(self) -> list[Engine]:
        """Engines that can be asked."""
        return [engine for engine in self.engines.values() if engine.alive]

    def at(self, time: float, act: Callable[[], None]) -> None:
        """Do it then."""
        heapq.heappush(self._events, (time, next(self._numbers), act))

    def run(self) -> None:
        """All of it, until every request has ended."""
        for request in arrivals(self.model):
            self.requests.append(request)
            self.at(request.arrived, lambda request=request: self.place(request))  # type: ignore[misc]
        for number in range(int(self.model.seconds / self.model.report)):
            self.at(number * self.model.report, self._report)
        for number in range(10, int(2 * self.model.seconds)):
            self.at(number / 2, self._sample)
        self.at(self.model.seconds * self.model.lost_at, self._lose)
        while self._events:
            self.now, _, act = heapq.heappop(self._events)
            act()

    def place(self, request: Request) -> None:
        """Ask an engine, by the rule."""
        engine = self._rule(self, request)
        gateway = self.gateways[request.gateway]
        gateway.own[engine.name] = gateway.own.get(engine.name, 0) + 1
        books = gateway.books.setdefault(engine.name, OrderedDict())
        books[request.key] = None
        engine.waiting.append(request)
        self._fill(engine)

    def warm_up(self, engine: Engine, request: Request) -> None:
        """Load the adapter and compute the prefix there, for those that come later."""
        extra = Request(request.key, request.gateway, self.now, 0.0, warming=True)
        gateway = self.gateways[request.gateway]
        gateway.books.setdefault(engine.name, OrderedDict())
        engine.waiting.appendleft(extra)
        self._fill(engine)

    def _fill(self, engine: Engine) -> None:
        while engine.waiting and len(engine.running) < self.model.streams:
            request = engine.waiting.popleft()
            engine.running.add(request)
            begins = self._adapter(engine, request.key)
            request.hit = request.key in engine.computed
            engine.computed[request.key] = None
            engine.computed.move_to_end(request.key)
            if len(engine.computed) > self.model.prefixes:
                engine.computed.popitem(last=False)
            first = begins + (self.model.warm if request.hit else self.model.cold)
            self.at(first, lambda r=request: self._first(r))  # type: ignore[misc]
            self.at(first + request.decode, lambda e=engine, r=request: self._end(e, r))  # type: ignore[misc]

    def _adapter(self, engine: Engine, key: int) -> float:
        """When it is resident there; one that is not is loaded, in the place of the one used longest ago."""
        adapter = key // PREFIXES
        if adapter not in engine.resident:
            self.loads += 1
            engine.resident[adapter] = self.now + self.model.load
            if len(engine.resident) > self.model.places:
                engine.resident.popitem(last=False)
        engine.resident.move_to_end(adapter)
        return max(self.now, engine.resident[adapter])

    def _first(self, request: Request) -> None:
        if not request.lost and request.first is None:
            request.first = self.now

    def _end(self, engine: Engine, request: Request) -> None:
        if request not in engine.running:
            return
        engine.running.discard(request)
        if request.warming:
            self.gateways[request.gateway].books[engine.name][request.key] = None
        else:
            self.gateways[request.gateway].own[engine.name] -= 1
        self._fill(engine)

    def _report(self) -> None:
        for gateway in self.gateways:
            for engine in self.alive:
                gateway.told[engine.name] = (engine.load, gateway.own.get(engine.name, 0))

    def _sample(self) -> None:
        loads = [engine.load for engine in self.alive]
        if sum(loads):
            self.samples.append(max(loads) / (sum(loads) / len(loads)))

    def _lose(self) -> None:
        """An engine ends: what had no token is tried once elsewhere, the rest is lost."""
        engine = self.alive[0]
        engine.alive = False
        requests = [*engine.running, *engine.waiting]
        engine.running.clear()
        engine.waiting.clear()
        for gateway in self.gateways:
            gateway.own.pop(engine.name, None)
            gateway.books.pop(engine.name, None)
        for request in requests:
            if request.warming:
                continue
            if request.first is None and not request.retried:
                request.retried = True
                self.place(request)
            else:
                request.lost = True


def arrivals(model: Model) -> Iterator[Request]:
    """The same for every rule."""
    draw = random.Random(model.seed)
    weights = list(itertools.accumulate(1 / (rank + 1) ** model.zipf for rank in range(model.keys)))
    time, hot, window = 0.0, 0, -1
    while True:
        time += draw.expovariate(model.rate)
        if time >= model.seconds:
            return
        if int(time / 20) != window:
            window, hot = int(time / 20), draw.randrange(model.keys)
        key = bisect.bisect(weights, draw.random() * weights[-1])
        if time % 20 < 5 and draw.random() < model.burst:
            key = hot
        decode = min(6.0, draw.expovariate(1 / model.decode))
        yield Request(_spread(min(key, model.keys - 1), model.keys), draw.randrange(model.gateways), time, decode)


def _spread(rank: int, keys: int) -> int:
    """The key of a rank: an adapter's prefixes are not equally much asked for."""
    adapters = keys // PREFIXES
    return (rank % adapters) * PREFIXES + rank // adapters
