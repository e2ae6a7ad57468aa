"""The adapters' life as a state machine: orders, requests, cancellations and deaths in any order.

Time is virtual and the disk is in memory, so that a history that fails is found again.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.virtual_time import VirtualLoop
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import (
    AdapterRejected,
    BackendUnavailable,
    FailedPrecondition,
    NotFound,
    StateUnavailable,
)
from trivet.types.adapter import AdapterState, AdapterTier, DesiredAdapter, FetchProgress, StagedAdapter, engine_name
from trivet.types.generation import BackendRequest
from trivet.types.variant import VersionRef

REFS = tuple(VersionRef(name, "1") for name in "abcde")
PLACES = 2
EXPECTED = (AdapterRejected, BackendUnavailable, FailedPrecondition, NotFound, StateUnavailable)
LOG = logging.getLogger("trivet.adapters.lifecycle.changes.retry")  # it tells of every attempt
Result = TypeVar("Result")
refs = st.sampled_from(REFS)
pauses = st.sampled_from([0.0, 0.005, 0.01, 0.02, 0.05, 0.3])  # seconds


async def slowly(work: Callable[..., Result], *arguments: Any) -> Result:
    """What `asyncio.to_thread` does, in this loop's time."""
    await asyncio.sleep(0.01)
    result = work(*arguments)
    await asyncio.sleep(0.01)
    return result


def other_bytes(digest: str) -> str:
    """The digest of the bytes that come after these."""
    return hashlib.sha256(digest.encode()).hexdigest()


class MemoryStaging(AdapterStaging):
    """Sources and copies as digests in dictionaries; a source may be broken, a copy damaged."""

    def __init__(self) -> None:
        self.sources = {ref: other_bytes("") for ref in REFS}
        self.broken: set[VersionRef] = set()
        self.copies: dict[Path, str] = {}

    def stage(self, ref: VersionRef) -> StagedAdapter:
        if ref in self.broken:
            raise AdapterRejected(f"adapter {ref} is broken")
        staged = StagedAdapter(ref, self.sources[ref], 8, Path(engine_name(ref, self.sources[ref])))
        self.copies[staged.path] = staged.digest
        return staged

    def restore(self, ref: VersionRef, digest: str) -> StagedAdapter:
        staged = StagedAdapter(ref, digest, 8, Path(engine_name(ref, digest)))
        if self.is_sound(staged):
            return staged
        again = self.stage(ref)
        if again.digest != digest:
            self.discard(again)
            raise AdapterRejected(f"adapter {ref} has other bytes by now")
        return again

    def is_sound(self, staged: StagedAdapter) -> bool:
        return self.copies.get(staged.path) == staged.digest

    def source_digest(self, ref: VersionRef) -> str | None:
        return None if ref in self.broken else self.sources[ref]

    def progress(self, ref: VersionRef) -> FetchProgress | None:
        return None

    def stop(self) -> None:
        pass

    def known(self) -> list[VersionRef]:
        return list(REFS)

    def discard(self, staged: StagedAdapter) -> None:
        self.copies.pop(staged.path, None)

    def sweep(self, keep: Collection[VersionRef], engine_names: Collection[str] = ()) -> None:
        names = {str(ref) for ref in keep} | {name.partition("#")[0] for name in engine_names}
        for path in list(self.copies):
            if path.name.partition("#")[0] not in names:
                del self.copies[path]

    def prune(self, ref: VersionRef, keep: StagedAdapter | None = None) -> None:
        for path in list(self.copies):
            if path.name.partition("#")[0] == str(ref) and not (keep and path == keep.path):
                del self.copies[path]


class MemoryDesired:
    """Desired adapters that outlive their manager; `full` fails what would be written."""

    def __init__(self) -> None:
        self.kept: dict[VersionRef, str] = {}
        self.full = False

    async def all(self, backend: str) -> list[DesiredAdapter]:
        await asyncio.sleep(0.01)
        return [DesiredAdapter(ref, digest) for ref, digest in self.kept.items()]

    async def record(self, backend: str, adapter: DesiredAdapter) -> None:
        await self._write(functools.partial(self.kept.__setitem__, adapter.ref, adapter.digest))

    async def withdraw(self, backend: str, ref: VersionRef) -> None:
        await self._write(functools.partial(self.kept.pop, ref, None))

    async def _write(self, write: Callable[[], object]) -> None:
        await asyncio.sleep(0.005)
        if self.full:
            raise StateUnavailable("full")
        write()
        await asyncio.sleep(0.005)


class Engine:
    """Keeps books and takes its time; what goes wrong is in `faults`."""

    name = "engine"
    block_size = 16
    context_tokens = 128

    def __init__(self, staging: MemoryStaging) -> None:
        self.ready = True
        self.incarnation = 1
        self.salts_after_prefix = False
        self.keeps_prefixes = True
        self.resident: set[str] = set()
        self.refused: set[VersionRef] = set()
        self.in_use: Counter[str] = Counter()
        self.faults: list[str] = []
        self._staging = staging

    def schema_known(self, schema: Mapping[str, Any], owner: str) -> bool:
        raise NotImplementedError

    async def admit_schema(self, schema: Mapping[str, Any], owner: str) -> None:
        raise NotImplementedError

    def generate(self, request: BackendRequest) -> Any:
        raise NotImplementedError

    async def load_adapter(self, adapter: StagedAdapter) -> None:
        life = self.incarnation
        await asyncio.sleep(0.02)
        if not self.ready or self.incarnation != life:
            raise BackendUnavailable("the engine is dead")
        if adapter.ref in self.refused:
            raise AdapterRejected(f"the engine refuses {adapter.ref}")
        if adapter.path not in self._staging.copies:
            self.faults.append(f"{adapter.ref} was loaded from a copy that is gone")
        self.resident.add(adapter.engine_name)

    async def unload_adapter(self, engine_name: str) -> None:
        life = self.incarnation
        await asyncio.sleep(0.04)  # a load that begins later must not end before it
        if life != self.incarnation or engine_name not in self.resident:
            return
        if self.in_use[engine_name]:
            self.faults.append(f"{engine_name} was taken out while in use")
        self.resident.discard(engine_name)

    def die(self) -> None:
        self.ready = False
        self.resident.clear()


class Lifecycle(RuleBasedStateMachine):
    """Five adapters, two places."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.staging, self.desired = MemoryStaging(), MemoryDesired()
        self.engine = Engine(self.staging)
        self.demand = AdapterDemand()
        self.wanted = self.demand.users
        self.orders: list[asyncio.Task[Any]] = []
        self.requests: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        self.patch = mock.patch("asyncio.to_thread", slowly)
        self.patch.start()
        LOG.disabled = True
        self._start()

    def _start(self) -> None:
        self.manager = AdapterManager(
            self.staging, self.engine, self.demand, self.desired, LifecycleSettings(PLACES, 2, 0.5, 4.0)
        )

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(work)

    def _order(self, work: Coroutine[Any, Any, Any], then: float) -> None:
        async def begin() -> None:
            self.orders.append(asyncio.create_task(work))
            await asyncio.sleep(then)

        self._run(begin())

    async def _request(self, ref: VersionRef, end: asyncio.Event) -> None:
        async with self.manager.acquire(ref) as lease:
            assert lease is not None
            life = self.engine.incarnation
            if not self.engine.ready or lease.engine_name not in self.engine.resident:
                self.engine.faults.append(f"{ref} was leased and is not resident")
            self.engine.in_use[lease.engine_name] += 1
            try:
                while not end.is_set() and self.engine.ready and self.engine.incarnation == life:
                    await asyncio.sleep(0.01)
            finally:
                self.engine.in_use[lease.engine_name] -= 1

    # What operators, routes and clients do.

    @initialize(requested=st.lists(refs, max_size=4, unique=True), wanted=st.sets(refs, max_size=2))
    def a_day_begins(self, requested: list[VersionRef], wanted: set[VersionRef]) -> None:
        self.routes_change(wanted, 0.3)
        for ref in requested:
            self.load(ref, 0.3)

    @rule(ref=refs, then=pauses)
    def load(self, ref: VersionRef, then: float) -> None:
        self._order(self.manager.load(ref), then)

    @rule(ref=refs, then=pauses)
    def unload(self, ref: VersionRef, then: float) -> None:
        self._order(self.manager.unload(ref), then)

    @rule(wanted=st.sets(refs, max_size=3), then=pauses)
    def routes_change(self, wanted: set[VersionRef], then: float) -> None:
        self.wanted.clear()
        self.wanted.update({ref: ["route/variant"] for ref in wanted})
        self._order(self.manager.reconcile(), then)

    @rule(asked=st.lists(refs, min_size=1, max_size=3), then=pauses)
    def request(self, asked: list[VersionRef], then: float) -> None:
        async def begin() -> None:
            for ref in asked:
                end = asyncio.Event()
                self.requests.append((asyncio.create_task(self._request(ref, end)), end))
            await asyncio.sleep(then)

        self._run(begin())

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def request_ends(self, data: st.DataObject) -> None:
        self.requests[data.draw(st.integers(0, len(self.requests) - 1))][1].set()

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def client_leaves(self, data: st.DataObject) -> None:
        self.requests[data.draw(st.integers(0, len(self.requests) - 1))][0].cancel()

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def operator_leaves(self, data: st.DataObject) -> None:
        self.orders[data.draw(st.integers(0, len(self.orders) - 1))].cancel()

    # What the world does.

    @rule(seconds=pauses)
    def time_passes(self, seconds: float) -> None:
        self._run(asyncio.sleep(seconds))

    @rule()
    def engine_dies(self) -> None:
        self.engine.die()

    @rule()
    def engine_comes_back(self) -> None:
        self.engine.die()
        self.engine.incarnation += 1
        self.engine.ready = True
        self._order(self.manager.reconcile(), 0.0)

    @rule()
    def gateway_restarts(self) -> None:
        for order in self.orders:
            order.cancel()
        self._end_requests()
        self._run(self.manager.close())
        self.engine.die()
        self.engine.incarnation += 1
        self.engine.ready = True
        self._start()
        self._order(self.manager.reconcile(), 0.0)

    @rule(ref=refs, broken=st.booleans())
    def source_changes(self, ref: VersionRef, broken: bool) -> None:
        (self.staging.broken.add if broken else self.staging.broken.discard)(ref)

    @rule(ref=refs)
    def new_bytes(self, ref: VersionRef) -> None:
        self.staging.sources[ref] = other_bytes(self.staging.sources[ref])

    @rule(ref=refs)
    def copy_rots(self, ref: VersionRef) -> None:
        """Only one that the engine has not got: what it holds it does not read."""
        if not any(name.startswith(f"{ref}#") for name in self.engine.resident):
            for path in self.staging.copies:
                if path.name.startswith(f"{ref}#"):
                    self.staging.copies[path] = "rotten"

    @rule(ref=refs, refused=st.booleans())
    def engine_changes_its_mind(self, ref: VersionRef, refused: bool) -> None:
        (self.engine.refused.add if refused else self.engine.refused.discard)(ref)

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        self.desired.full = full

    # What holds at any time, and what once all is quiet.

    @invariant()
    def nothing_went_wrong(self) -> None:
        assert self.engine.faults == []
        for task in [task for task in self.orders if task.done()]:
            problem = None if task.cancelled() else task.exception()
            assert problem is None or isinstance(problem, EXPECTED), repr(problem)
            self.orders.remove(task)
        for item in [item for item in self.requests if item[0].done()]:
            problem = None if item[0].cancelled() else item[0].exception()
            assert problem is None or isinstance(problem, NotFound | BackendUnavailable), repr(problem)
            self.requests.remove(item)

    def _end_requests(self) -> None:
        for _, end in self.requests:
            end.set()
        self._run(asyncio.sleep(1.0))

    def _heal(self) -> None:
        self.staging.broken.clear()
        self.engine.refused.clear()
        self.desired.full = False
        # Other bytes never stand in for those that were loaded or acknowledged: the source gets those back.
        self.staging.sources.update({status.ref: status.digest for status in self.manager.statuses() if status.digest})
        self.staging.sources.update(self.desired.kept)

    def teardown(self) -> None:
        try:
            self._end_requests()
            self._heal()
            if not self.engine.ready:
                self.engine.incarnation += 1
                self.engine.ready = True
            self._run(self._settle())
            self.nothing_went_wrong()
            self._check_books()
            self._run(self.manager.close())
        finally:
            self.patch.stop()
            LOG.disabled = False
            self.loop.close()

    async def _settle(self) -> None:
        """Long enough for every attempt that is due."""
        await asyncio.gather(self.manager.reconcile(), return_exceptions=True)
        await asyncio.sleep(30.0)

    def _check_books(self) -> None:
        statuses = {status.ref: status for status in self.manager.statuses()}
        expected = {*self.wanted, *self.desired.kept}
        ready = {ref for ref, status in statuses.items() if status.state is AdapterState.READY}
        assert ready == expected, statuses
        assert {ref for ref, status in statuses.items() if status.requested} == set(self.desired.kept)
        for ref, digest in self.desired.kept.items():
            assert statuses[ref].digest == digest
        held = {status.engine_name for status in statuses.values() if status.tier is not AdapterTier.DISK}
        assert self.engine.resident == held
        assert not [status for status in statuses.values() if status.tier is AdapterTier.LEASED]
        assert len(held) <= PLACES
        assert {path.name.partition("#")[0] for path in self.staging.copies} == {str(ref) for ref in expected}
        assert len(self.staging.copies) == len(expected)


Lifecycle.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
TestLifecycle = Lifecycle.TestCase
