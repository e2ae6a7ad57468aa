"""Several engine nodes as one backend."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from trivet.errors import BackendUnavailable, Draining, NotFound, Overloaded, TrivetError
from trivet.fleet.choice import LOAD_BOUND
from trivet.fleet.desired import Desired
from trivet.fleet.discovery import Discovery
from trivet.fleet.endpoint import Endpoint
from trivet.fleet.membership import Membership
from trivet.fleet.placement import Placement
from trivet.fleet.preparation import Preparation, as_unavailable
from trivet.fleet.remote.target import RemoteSettings
from trivet.fleet.tasks import Tasks
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk, MachineAccount

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """`slow_start`: seconds in which a new node's share grows to the whole. `load_bound`: see `choice.choose`."""

    remote: RemoteSettings
    slow_start: float = 10.0
    load_bound: float = LOAD_BOUND


@dataclass(slots=True)
class FleetEvents:
    """Who is told: of a change of what can be served, of what priming brought, of a retry on another node."""

    changed: Callable[[], None] = lambda: None
    primed: Callable[[Chunk], None] = lambda _: None
    retried: Callable[[], None] = lambda: None


class Fleet:
    """Implements `ports.Backend` over all nodes that `discovery` finds. Call everything from one event loop.

    It begins a new life, by `incarnation`, when it was without any node.
    """

    def __init__(self, settings: FleetSettings, discovery: Discovery, events: FleetEvents | None = None) -> None:
        self.name = settings.remote.backend
        self._events = events = events or FleetEvents()
        self._desired = Desired()
        self._tasks = Tasks(f"backend {self.name}")
        self.membership = Membership(
            settings.remote, settings.slow_start, discovery, self._tasks,
            unprepared=lambda endpoint: self._preparation.begin(endpoint),
            changed=events.changed,
        )  # fmt: skip
        self._preparation = Preparation(self.membership, self._desired, self._tasks, events.primed)
        self._placement = Placement(self.membership, self._desired, self._preparation, settings.load_bound)

    @property
    def endpoints(self) -> Mapping[str, Endpoint]:
        """Its nodes, by address."""
        return self.membership.endpoints

    @property
    def incarnation(self) -> int:
        """See `ports.Backend.incarnation`."""
        return self.membership.incarnation

    @property
    def block_size(self) -> int:
        """See `ports.Backend.block_size`."""
        facts = self.membership.agreement.facts
        return facts.block_size if facts else 16

    @property
    def context_tokens(self) -> int:
        """See `ports.Backend.context_tokens`."""
        facts = self.membership.agreement.facts
        return facts.context_tokens if facts else 0

    @property
    def keeps_prefixes(self) -> bool:
        """See `ports.Backend.keeps_prefixes`."""
        return True

    @property
    def salts_after_prefix(self) -> bool:
        """See `ports.Backend.salts_after_prefix`."""
        facts = self.membership.agreement.facts
        return facts.salts_after_prefix if facts else False

    @property
    def ready(self) -> bool:
        """Any node may be asked."""
        return self.membership.ready

    async def start(self) -> None:
        """Look for nodes, and return when one can be asked. Cancelling it goes on looking; `close` ends that."""
        self.membership.start()
        await self.membership.wait_until(True)

    async def close(self) -> None:
        """Leave all nodes; what is in flight fails."""
        await self._tasks.close()
        await self.membership.close()

    async def death(self) -> str:
        """Wait until no node is left that can be asked; returns why."""
        await self.membership.wait_until(False)
        return self.membership.why_none

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        """The node finds out when it comes with a request."""
        return True

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        """See `schema_known`."""

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """See `ports.Backend.generate`.

        One that fails before its first tokens, for its node is away, stops or is full, is tried once more on another.
        """
        if request.account is MachineAccount.WARMUP:
            async with aclosing(self._preparation.prime(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        key = self._placement.key(request)
        tried: list[Endpoint] = []
        first: TrivetError | None = None
        while True:
            try:
                endpoint = await self._placement.place(request, key, tried)
            except BackendUnavailable as nobody:
                raise nobody if first is None else first from nobody
            request.on_placed(self.membership.replica(endpoint))
            began = False
            try:
                async with aclosing(endpoint.engine.generate(request)) as chunks:
                    async for chunk in chunks:
                        if not began:
                            began = True
                            endpoint.computed(key)
                        yield chunk
                endpoint.answered()
                return
            except (BackendUnavailable, Draining, NotFound, Overloaded) as problem:
                self._placement.blame(endpoint, request, problem)
                first = as_unavailable(problem)
                if began or tried:
                    raise first from problem
                tried.append(endpoint)
                logger.warning("request %s is tried on another node: %s", request.request_id, problem)
                self._events.retried()

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        """Have it loaded on its nodes, and on those that come later; fine when one has it.

        Raises what the first node says if none can, BackendUnavailable if there is none.
        """
        await self._preparation.load(adapter)

    async def unload_adapter(self, engine_name: str) -> None:
        """Give it back on all nodes."""
        self._desired.drop(engine_name)
        for endpoint in list(self.endpoints.values()):
            endpoint.dropped(engine_name)
            with contextlib.suppress(TrivetError):
                await endpoint.engine.unload_adapter(engine_name)
