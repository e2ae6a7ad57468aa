"""What nodes are given before they are asked: adapters, and static prefixes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from trivet.errors import AdapterRejected, BackendUnavailable, NotFound, Overloaded, TrivetError
from trivet.fleet.backoff import Backoff
from trivet.fleet.choice import key_of
from trivet.fleet.desired import Desired
from trivet.fleet.endpoint import Endpoint
from trivet.fleet.membership import Membership
from trivet.fleet.tasks import Tasks
from trivet.types.adapter import StagedAdapter
from trivet.types.generation import BackendRequest, Chunk

logger = logging.getLogger(__name__)
RETRY_AFTER = 1.0
PREPARE_FIRST, PREPARE_MOST = 0.5, 30.0


class Preparation:
    """Gives nodes what is desired. Call everything from one event loop. `primed` is told of what priming brought."""

    def __init__(self, membership: Membership, desired: Desired, tasks: Tasks, primed: Callable[[Chunk], None]) -> None:
        self._membership = membership
        self._desired = desired
        self._tasks = tasks
        self._primed = primed

    def begin(self, endpoint: Endpoint) -> None:
        """Give it what it is to have, in the background, for as long as it takes."""
        if endpoint.preparing is None or endpoint.preparing.done():
            endpoint.preparing = self._tasks.begin(self._make_ready(endpoint))

    async def load(self, adapter: StagedAdapter) -> None:
        """Have it loaded on its nodes, and on those that come later; fine when one has it.

        Raises what the first node says if none can, BackendUnavailable if there is none.
        """
        name = adapter.engine_name
        self._desired.adapters[name] = adapter
        homes = self._homes(name)
        if not homes:
            del self._desired.adapters[name]
            raise BackendUnavailable(self._membership.why_none, RETRY_AFTER)
        loads = {self._tasks.begin(self._load(one, adapter)): one for one in homes}
        waiting = set(loads)
        problems: list[TrivetError] = []
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for load in done:
                problem = load.exception()
                if problem is None:
                    return  # the others go on
                if not isinstance(problem, TrivetError):
                    raise problem
                problems.append(problem)
                self.begin(loads[load])  # it tries again, for as long as the adapter is wanted
        self._desired.drop(name)
        raise next((one for one in problems if isinstance(one, AdapterRejected)), problems[0])

    async def prime(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """Compute a prefix on every node that has its adapter, and on those that come later; fine when one has it."""
        prime = replace(request, unsalted_tokens=len(request.token_ids))
        key = key_of(request.adapter, None, request.token_ids)
        having = [one for one in self._membership.up if one.has(request.adapter)]
        results = await asyncio.gather(*(self._whole_prime(one, key, prime) for one in having), return_exceptions=True)
        problem: BaseException | None = None
        done = False
        for endpoint, result in zip(having, results, strict=True):
            if isinstance(result, BaseException):
                problem = result
                endpoint.prepared = False
                self.begin(endpoint)
                continue
            done = True
            for chunk in result:
                yield chunk
        if not done:
            raise problem or BackendUnavailable(self._membership.why_none, RETRY_AFTER)
        self._desired.prime(key, prime)
        self._membership.notice()

    def warm_up(self, endpoint: Endpoint, request: BackendRequest, key: bytes) -> asyncio.Task[None]:
        """Give it what a request lacks there; those who want the same share one task."""
        wanted = request.adapter, key
        task = endpoint.warming.get(wanted)
        if task is None:
            activated = request.activated_from is not None
            task = endpoint.warming[wanted] = self._tasks.begin(self._make_warm(endpoint, request.adapter, activated))
            task.add_done_callback(lambda _: endpoint.warming.pop(wanted, None))
        return task

    async def _make_warm(self, endpoint: Endpoint, adapter: str | None, activated: bool) -> None:
        if adapter is not None and not endpoint.has(adapter):
            staged = self._desired.adapters.get(adapter)
            if staged is None:
                raise NotFound(f"adapter {adapter} is not loaded")
            await self._load(endpoint, staged)
        else:
            await self._prime_missing(endpoint, adapter)
        if activated:
            await self._prime_missing(endpoint, None)

    def _homes(self, adapter: str) -> list[Endpoint]:
        up = self._membership.up
        places = sum(one.places for one in up)
        homes = self._desired.homes(adapter, [one.address for one in up], places)
        return [self._membership.endpoints[address] for address in homes]

    async def _make_ready(self, endpoint: Endpoint) -> None:
        backoff = Backoff(PREPARE_FIRST, PREPARE_MOST)
        while endpoint.engine.ready and endpoint.listed:
            try:
                life = endpoint.engine.incarnation
                problem = await self._give(endpoint)
                if life == endpoint.engine.incarnation and not endpoint.prepared:
                    endpoint.make_eligible()
                    logger.info("engine node %s takes requests", endpoint.address)
                    self._membership.notice()
                if problem is None:
                    return
                endpoint.problem = str(problem)
            except TrivetError as problem:
                endpoint.problem = str(problem)
            logger.warning("engine node %s is not prepared: %s", endpoint.address, endpoint.problem)
            await asyncio.sleep(backoff.next_delay())

    async def _give(self, endpoint: Endpoint) -> TrivetError | None:
        """Load and compute what it is to have. One adapter that it cannot load keeps it from that adapter's requests
        alone; that problem is returned. Raises what keeps it from serving at all."""
        up = self._membership.up
        places = sum(one.places for one in up)
        addresses = [one.address for one in up]
        problem: TrivetError | None = None
        await self._prime_missing(endpoint, None)
        for adapter in self._desired.adapters_of(endpoint.address, addresses, places, endpoint.places):
            try:
                await self._load(endpoint, adapter)
            except BackendUnavailable:
                raise
            except TrivetError as error:
                problem = error
        return problem

    async def _load(self, endpoint: Endpoint, adapter: StagedAdapter) -> None:
        """Load it there, and compute the prefixes that are used with it."""
        name = adapter.engine_name
        if not endpoint.has(name):
            await endpoint.engine.load_adapter(adapter)
            endpoint.loaded(name)
        await self._prime_missing(endpoint, name)

    async def _prime_missing(self, endpoint: Endpoint, adapter: str | None) -> None:
        for key, request in self._desired.primes_of(adapter):
            if not endpoint.has_computed(key):
                async with aclosing(self._prime(endpoint, key, request)) as chunks:
                    async for chunk in chunks:
                        self._primed(chunk)

    async def _prime(self, endpoint: Endpoint, key: bytes, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        own = replace(request, request_id=f"{request.request_id}-{endpoint.engine.incarnation}")
        async with aclosing(endpoint.engine.generate(own)) as chunks:
            async for chunk in chunks:
                yield chunk
        endpoint.computed(key)
        request.on_placed(self._membership.replica(endpoint))

    async def _whole_prime(self, endpoint: Endpoint, key: bytes, request: BackendRequest) -> list[Chunk]:
        try:
            async with aclosing(self._prime(endpoint, key, request)) as chunks:
                return [chunk async for chunk in chunks]
        except (NotFound, Overloaded) as problem:
            raise as_unavailable(problem) from problem


def as_unavailable(problem: TrivetError) -> TrivetError:
    """What a client is told: an adapter that has left a node is no mistake of its own."""
    if isinstance(problem, NotFound):
        return BackendUnavailable(str(problem), RETRY_AFTER)
    return problem
