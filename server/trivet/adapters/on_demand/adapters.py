"""The adapters that requests choose, from the first request that asks for one to the moment when it gives way.

Which one a request may choose is not decided here (`trivet.routing.adapter_choice`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.on_demand.arrivals import Arrivals
from trivet.adapters.on_demand.copies import Copies
from trivet.adapters.on_demand.failures import FailureMemory
from trivet.adapters.on_demand.places import Places
from trivet.adapters.on_demand.settings import OnDemandSettings
from trivet.adapters.pins import AdapterPins
from trivet.adapters.staging.staging import AdapterStaging
from trivet.errors import (
    AdapterRejected,
    AdapterSourceUnavailable,
    BackendUnavailable,
    NotFound,
    Overloaded,
    TrivetError,
)
from trivet.types.adapter import engine_name
from trivet.types.variant import VersionRef

StartObserver = Callable[[str, float], None]
DEATHS = 2  # of the engine, one after the other, while the same adapter was added to it
LISTING_SECONDS = 2.0
_SUSPECTS = 1000
_RETRY_AFTER = 1.0


class OnDemandAdapters:
    """All calls come from one event loop; `close` before the manager's.

    An adapter has the bytes that it had when it was first chosen (`pins`), for ever. `on_start` is told the outcome of
    each wait for a cold start ("started", "missing", "rejected", "unavailable", "refused", "left") and its seconds.
    """

    def __init__(
        self,
        manager: AdapterManager,
        staging: AdapterStaging,
        demand: AdapterDemand,
        pins: AdapterPins,
        settings: OnDemandSettings,
        on_start: StartObserver = lambda _outcome, _seconds: None,
    ) -> None:
        self._manager = manager
        self._staging = staging
        self._pins = pins
        self._on_start = on_start
        self._arrivals = Arrivals(settings, self._start)
        self._failures = FailureMemory(settings.failure_memory, self._fingerprint)
        self._places = Places(lambda: settings.host_places - len(demand.users))
        self._copies = Copies(settings.disk_bytes, manager.dismiss)
        self._suspects: OrderedDict[VersionRef, int] = OrderedDict()
        self._opening = asyncio.Lock()
        self._opened = False
        self._listing: asyncio.Task[list[VersionRef]] | None = None
        self._listed_at = 0.0

    @property
    def waiting(self) -> int:
        """Cold starts that wait for their turn."""
        return self._arrivals.waiting

    @property
    def copies(self) -> int:
        """How many of them are on the disk."""
        return len(self._copies)

    @property
    def copied_bytes(self) -> int:
        """Their bytes there."""
        return self._copies.bytes

    def at_hand(self, ref: VersionRef) -> bool:
        """Whether `acquire` would not wait."""
        return self._manager.ready(ref) and self._pins.get(ref) is not None and self._places.free(ref)

    def raise_known(self, ref: VersionRef, tenant: str) -> None:
        """Raise what an attempt for this tenant failed with a little while ago."""
        self._failures.raise_known(tenant, ref)

    @asynccontextmanager
    async def acquire(self, ref: VersionRef, tenant: str) -> AsyncIterator[AdapterLease]:
        """Hold it for one request, brought in first if need be, in the tenant's turn.

        Raises NotFound, AdapterRejected (its files are bad, or not those that were chosen first), Overloaded where too
        many wait, AdapterSourceUnavailable, BackendUnavailable, StateUnavailable.
        """
        self.raise_known(ref, tenant)
        with self._copies.use(ref):
            async with AsyncExitStack() as held:
                if not self.at_hand(ref):
                    with self._observed():
                        await held.enter_async_context(self._arrivals.joined(ref, tenant))
                await held.enter_async_context(self._places.hold(ref))
                lease = await held.enter_async_context(self._manager.acquire(ref, tenant))
                assert lease is not None
                self._require_pinned(ref, lease.digest)
                yield lease

    async def known(self) -> Sequence[VersionRef]:
        """Those that the sources have, allowed or not; looked up at most once in LISTING_SECONDS."""
        now = asyncio.get_running_loop().time()
        if self._listing is None or now - self._listed_at >= LISTING_SECONDS:
            self._listed_at = now
            self._listing = asyncio.create_task(asyncio.to_thread(self._staging.known))
        return tuple(dict.fromkeys(await asyncio.shield(self._listing)))

    async def close(self) -> None:
        """Stop what is under way."""
        await self._arrivals.close()
        await self._failures.close()

    async def _start(self, ref: VersionRef, tenant: str, held: AsyncExitStack) -> None:
        """Fetch, check, copy, pin and add to the engine; what fails for good is remembered."""
        self._failures.raise_known(tenant, ref)  # it may have failed since this began to wait
        await self._open()
        try:
            await self._bring_in(ref, tenant)
            await held.enter_async_context(self._places.hold(ref))
            lease = await held.enter_async_context(self._manager.acquire(ref, tenant))
            assert lease is not None
            self._require_pinned(ref, lease.digest)
        except (NotFound, AdapterRejected) as problem:
            await self._failures.remember(tenant, ref, problem)
            raise
        except AdapterSourceUnavailable as problem:
            await self._failures.remember(tenant, ref, problem, problem.retry_after)
            raise
        except BackendUnavailable as problem:
            await self._engine_failed(ref, tenant, problem)
            raise
        self._suspects.pop(ref, None)

    async def _bring_in(self, ref: VersionRef, tenant: str) -> None:
        """Ready in its copy, pinned, and within the disk's bytes."""
        try:
            status = await self._manager.arrive(ref, tenant)
        except (NotFound, AdapterRejected):
            await asyncio.to_thread(self._staging.forget_download, ref)
            self._copies.gone(ref)
            raise
        await self._pins.pin(ref, status.digest)
        size = await asyncio.to_thread(self._staging.bytes_of, (status.engine_name,))
        if not await self._copies.put(ref, size.get(status.engine_name, 0)):
            await self._manager.dismiss(ref)
            raise Overloaded("bytes of adapters in use", len(self._copies), _RETRY_AFTER)

    async def _engine_failed(self, ref: VersionRef, tenant: str, problem: BackendUnavailable) -> None:
        """The engine refused it, or died meanwhile: perhaps of this adapter, if that happens again."""
        refused = problem.__cause__
        if isinstance(refused, AdapterRejected):
            await self._manager.dismiss(ref)
            await self._failures.remember(tenant, ref, refused)
            raise refused from None
        if self._manager.engine_ready:
            return
        self._suspects[ref] = self._suspects.get(ref, 0) + 1
        self._suspects.move_to_end(ref)
        if len(self._suspects) > _SUSPECTS:
            self._suspects.popitem(last=False)
        if self._suspects[ref] >= DEATHS:
            text = f"adapter {ref}: the engine died {self._suspects[ref]} times while it was added to it"
            await self._failures.remember(tenant, ref, AdapterRejected(text))

    def _require_pinned(self, ref: VersionRef, digest: str) -> None:
        pinned = self._pins.get(ref)
        if pinned is not None and pinned != digest:
            raise AdapterRejected(
                f"adapter {ref} has digest {digest[:12]} now, and had {pinned[:12]} when it was first chosen: give "
                "other weights a version of their own"
            )

    async def _open(self) -> None:
        """Take stock of the copies that former processes made."""
        async with self._opening:
            if self._opened:
                return
            names = {engine_name(ref, digest): ref for ref, digest in self._pins.all()}
            sizes = await asyncio.to_thread(self._staging.bytes_of, tuple(names))
            for name, ref in names.items():
                if name in sizes:
                    await self._copies.put(ref, sizes[name])
            self._opened = True

    async def _fingerprint(self, ref: VersionRef) -> str:
        return await asyncio.to_thread(self._staging.fingerprint, ref)

    @contextmanager
    def _observed(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        started, outcome = loop.time(), "started"
        try:
            yield
        except TrivetError as problem:
            outcome = _outcome(problem)
            raise
        except BaseException:
            outcome = "left"
            raise
        finally:
            self._on_start(outcome, loop.time() - started)


def _outcome(problem: TrivetError) -> str:
    if isinstance(problem, NotFound):
        return "missing"
    if isinstance(problem, AdapterRejected):
        return "rejected"
    return "refused" if isinstance(problem, Overloaded) else "unavailable"
