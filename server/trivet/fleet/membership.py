"""Which nodes a fleet has, and how they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from trivet.fleet.backoff import Backoff
from trivet.fleet.discovery import Discovery
from trivet.fleet.endpoint import Endpoint
from trivet.fleet.remote.agreement import Agreement
from trivet.fleet.remote.remote_engine import RemoteEngine
from trivet.fleet.remote.target import RemoteSettings
from trivet.fleet.tasks import Tasks
from trivet.types.generation import Replica

logger = logging.getLogger(__name__)
TOLD = 5  # nodes that a message names
RETRY_FIRST, RETRY_MOST = 0.5, 30.0  # seconds until discovery begins again, where something unforeseen ended it


class Membership:
    """The nodes that `discovery` finds, from then on until they are away. Call everything from one event loop.

    `incarnation` grows when there is a node that can be asked again after there was none. `problem`: why discovery
    fails, in words.
    """

    def __init__(
        self,
        remote: RemoteSettings,
        slow_start: float,
        discovery: Discovery,
        tasks: Tasks,
        *,
        unprepared: Callable[[Endpoint], None],
        changed: Callable[[], None],
    ) -> None:
        """`unprepared` is told of a node that has come up and is not prepared; `changed` of every change."""
        self.endpoints: dict[str, Endpoint] = {}
        self.incarnation = 0
        self.problem = ""
        self.agreement = Agreement(remote.expected_tokenizer, remote.expected_model)
        self._remote = remote
        self._slow_start = slow_start
        self._discovery = discovery
        self._tasks = tasks
        self._unprepared = unprepared
        self._changed = changed
        self._discovering: asyncio.Task[None] | None = None
        self._turned = asyncio.Event()
        self._was_ready = False

    @property
    def ready(self) -> bool:
        """Any node may be asked."""
        return any(endpoint.eligible for endpoint in self.endpoints.values())

    @property
    def up(self) -> list[Endpoint]:
        """Those whose engine takes requests, and that are to stay."""
        return [one for one in self.endpoints.values() if one.engine.ready and not one.engine.draining]

    @property
    def why_none(self) -> str:
        """Why no node can be asked."""
        states = [f"{one.address} {one.state}" for one in self.endpoints.values()]
        told = ", ".join(states[:TOLD]) or self.problem or "none is known"
        more = f" and {len(states) - TOLD} more" if len(states) > TOLD else ""
        return f"no engine node of backend {self._remote.backend} can be asked: {told}{more}"

    def replica(self, endpoint: Endpoint) -> Replica:
        """Which engine a node has. It is called by its name, or by its address where another one has the same name."""
        name = endpoint.name
        known = bool(name) and sum(one.name == name for one in self.endpoints.values()) == 1
        return Replica(f"{endpoint.address}/{endpoint.engine.incarnation}", name if known else endpoint.address)

    def start(self) -> None:
        """Look for nodes, from now on."""
        if self._discovering is None:
            self._discovering = self._tasks.begin(self._discover())

    async def wait_until(self, ready: bool) -> None:
        """Until a node can be asked, or until none can."""
        while self._looked() is not ready:
            self._turned.clear()
            await self._turned.wait()

    async def list(self, addresses: frozenset[str]) -> None:
        """These are found. A node that is not found any more leaves when it is away, too: a list may be wrong."""
        for address in sorted(addresses - self.endpoints.keys()):
            loop = asyncio.get_running_loop()
            engine = RemoteEngine(address, self._remote, self.agreement, lambda a=address: self._heard(a))  # type: ignore[misc]
            self.endpoints[address] = Endpoint(engine, self._slow_start, loop.time)
            engine.connect()
        for address, endpoint in [*self.endpoints.items()]:
            endpoint.listed = address in addresses
            if not endpoint.listed and endpoint.engine.view is None and self.endpoints.get(address) is endpoint:
                del self.endpoints[address]
                await endpoint.engine.close()
        self.notice()

    def notice(self) -> None:
        """Something is different by now."""
        self._looked()
        self._turned.set()
        self._changed()

    async def close(self) -> None:
        """Leave all nodes; what is in flight fails."""
        await asyncio.gather(*(endpoint.engine.close() for endpoint in self.endpoints.values()))
        self.endpoints.clear()

    async def _discover(self) -> None:
        backoff = Backoff(RETRY_FIRST, RETRY_MOST)
        while True:
            try:
                await self._follow(backoff)
                return
            except Exception as problem:  # without discovery no new node would ever be asked
                self.problem = str(problem)
                delay = backoff.next_delay()
                told = "backend %s: discovery failed, it begins again in %.1f s"
                logger.exception(told, self._remote.backend, delay)
            await asyncio.sleep(delay)

    async def _follow(self, backoff: Backoff) -> None:
        async with aclosing(self._discovery.watch()) as found:
            async for addresses in found:
                self.problem = addresses.problem
                if addresses.known is not None:
                    await self.list(addresses.known)
                backoff.reset()

    def _heard(self, address: str) -> None:
        endpoint = self.endpoints.get(address)
        if endpoint is None:
            return
        endpoint.follow()
        if endpoint.engine.view is None and not endpoint.listed:
            del self.endpoints[address]
            self._tasks.begin(endpoint.engine.close())
        if endpoint.engine.ready and not endpoint.prepared:
            self._unprepared(endpoint)
        self.notice()

    def _looked(self) -> bool:
        """Whether it is ready; if it has become so, that is a new life."""
        ready = self.ready
        if ready and not self._was_ready:
            self.incarnation += 1
        self._was_ready = ready
        return ready
