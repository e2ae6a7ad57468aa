"""The adapter of one request: the variant's, or the one that the request chooses within the variant's allow-list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.errors import AdapterRejected, FailedPrecondition, NotFound, Overloaded, TrivetError
from trivet.metering.account import Account
from trivet.pipeline.stream import Place
from trivet.routing.adapter_choice import adapter_candidates
from trivet.routing.table import Resolution
from trivet.types.request import GenerateCall
from trivet.types.variant import AdapterChoice, AdapterFallback, VersionRef

_RETRY_AFTER = 1.0
MISSING, REJECTED = "adapter_missing", "adapter_rejected"  # in `degraded`: the base model answers instead


class RequestAdapters:
    """Holds adapters for requests. All calls come from one event loop."""

    def __init__(self, adapters: AdapterManager, on_demand: OnDemandAdapters | None) -> None:
        """Without `on_demand` no variant lets requests choose."""
        self._adapters = adapters
        self._on_demand = on_demand

    @asynccontextmanager
    async def hold(
        self, call: GenerateCall, resolution: Resolution, place: Place, account: Account
    ) -> AsyncIterator[tuple[Resolution, AdapterLease | None]]:
        """The resolution with the adapter that answers in its variant, and the lease of that adapter.

        Raises what the choice raises, NotFound and FailedPrecondition for an adapter that cannot be had where the
        variant does not fall back, Overloaded where too many wait, and what keeps an adapter from being brought in.
        """
        variant = resolution.variant
        async with AsyncExitStack() as held:
            if variant.adapter_choice is not None:
                lease = await self._chosen(call, variant.adapter_choice, place, account, held)
            elif variant.adapter is not None:
                lease = await self._fixed(variant.adapter, place, account, held)
            else:
                lease = None
            if lease is None:
                yield resolution, None
                return
            account.adapter_digest = lease.digest
            if variant.adapter_choice is not None:
                variant = replace(variant, adapter=lease.ref)
                account.variant, resolution = variant, replace(resolution, variant=variant)
            yield resolution, lease

    async def _fixed(
        self, ref: VersionRef, place: Place, account: Account, held: AsyncExitStack
    ) -> AdapterLease | None:
        """One that gave way to others is brought back first."""
        loop = asyncio.get_running_loop()
        started, gave_way = loop.time(), self._adapters.gave_way(ref)
        if gave_way and not place.waits:
            raise Overloaded("adapters", 0, _RETRY_AFTER)
        try:
            return await held.enter_async_context(self._adapters.acquire(ref))
        finally:
            account.adapter_wait = loop.time() - started if gave_way else 0.0

    async def _chosen(
        self, call: GenerateCall, choice: AdapterChoice, place: Place, account: Account, held: AsyncExitStack
    ) -> AdapterLease | None:
        """The first of the candidates that there is; None for the base model."""
        candidates = adapter_candidates(choice, tenant=call.tenant, named=call.adapter, labels=call.labels)
        problem: TrivetError | None = None
        for ref in candidates:
            try:
                return await self._brought_in(ref, call.tenant, place, account, held)
            except NotFound as missing:
                problem = problem or missing
            except AdapterRejected as bad:
                problem = bad
                break
        if choice.fallback is AdapterFallback.REFUSE:
            raise _refusal(candidates, problem, call.tenant)
        if problem is not None:
            account.degraded.append(REJECTED if isinstance(problem, AdapterRejected) else MISSING)
        return None

    async def _brought_in(
        self, ref: VersionRef, tenant: str, place: Place, account: Account, held: AsyncExitStack
    ) -> AdapterLease:
        """Others have the request's place while it waits. The wait is the adapter's; for a place afterwards, the
        queue's."""
        assert self._on_demand is not None
        on_demand = self._on_demand
        on_demand.raise_known(ref, tenant)
        account.adapter_wait = account.adapter_wait or 0.0
        if on_demand.at_hand(ref):
            return await held.enter_async_context(on_demand.acquire(ref, tenant))
        if not place.waits:
            raise Overloaded("adapters", 0, _RETRY_AFTER)
        loop = asyncio.get_running_loop()
        started = stepped_up = loop.time()
        try:
            async with place.aside():
                try:
                    return await held.enter_async_context(on_demand.acquire(ref, tenant))
                finally:
                    stepped_up = loop.time()
                    account.adapter_wait += stepped_up - started
        finally:
            account.queue = (account.queue or 0.0) + loop.time() - stepped_up


def _refusal(candidates: Sequence[VersionRef], problem: TrivetError | None, tenant: str) -> TrivetError:
    if isinstance(problem, AdapterRejected):
        return FailedPrecondition(f"the adapter cannot be used: {problem}")
    named = ", ".join(map(str, candidates)) or f"with a name made of {tenant}"
    return NotFound(f"there is no adapter {named}")
