"""Warm before weight: adapters resident and prefixes primed before a variant gets traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from functools import partial

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import BackendUnavailable
from trivet.pipeline.assembly import Assemblers
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.ports import Backend
from trivet.routing.required import required_variants
from trivet.types.generation import BackendRequest, Chunk, MachineAccount, Replica
from trivet.types.variant import CacheScope, Route, Sampling, Variant, VersionRef

RETRY_DOWN = 5.0
RETRY_WARMING = 1.0
COLD_REQUESTS = 20  # of a variant, after each warm-up

# What priming depends on: a variant that changed under its name is another one.
Bundle = tuple[str, str, str, VersionRef, VersionRef | None, CacheScope, str]


class Readiness:
    """Primes variants and knows which are warm."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        slots: Mapping[str, AdapterSlots],
        adapters: AdapterManager,
        prompts: Assemblers,
        ledger: PrefixCacheLedger,
        on_primed: Callable[[str, Chunk], None] = lambda _backend, _chunk: None,
    ) -> None:
        """`on_primed` is told the backend and each piece of what priming brought."""
        self._backends = backends
        self._slots = slots
        self._adapters = adapters
        self._prompts = prompts
        self._ledger = ledger
        self._on_primed = on_primed
        self._ready: dict[Bundle, int] = {}
        self._cold: dict[Bundle, int] = {}

    def is_ready(self, route: Route, variant: Variant) -> bool:
        """Whether it was primed on the engine as it lives now."""
        backend = self._backends[variant.backend]
        return backend.ready and self._ready.get(bundle_of(route, variant)) == backend.incarnation

    def require(self, route: Route, variant: Variant) -> None:
        """Raises BackendUnavailable unless the variant is ready: while it is down or warms it gets no traffic."""
        if self.is_ready(route, variant):
            return
        if not self._backends[variant.backend].ready:
            raise BackendUnavailable(f"the engine of backend {variant.backend} is down", RETRY_DOWN)
        raise BackendUnavailable(f"variant {route.name}/{variant.name} is not warm yet", RETRY_WARMING)

    def enter(self, route: Route, variant: Variant) -> bool:
        """Let a request in, as `require` does. Whether it is one of the first since the variant was warmed.

        Those are slower, whichever variant it is: nobody compares them.
        """
        self.require(route, variant)
        bundle = bundle_of(route, variant)
        left = self._cold.get(bundle, 0)
        if left:
            self._cold[bundle] = left - 1
        return left > 0

    def keep(self, *tables: Mapping[str, Route]) -> None:
        """Forget what none of these requires: its adapter may be gone when it comes back."""
        routes = [route for table in tables for route in table.values()]
        kept = {bundle_of(route, variant) for route in routes for variant in required_variants(route)}
        self._ready = {bundle: life for bundle, life in self._ready.items() if bundle in kept}
        self._cold = {bundle: left for bundle, left in self._cold.items() if bundle in self._ready}

    async def prime(self, route: Route, variant: Variant) -> None:
        """Compute the variant's static prefix on its backend, under its adapter, which waits for a slot like any other.

        An activated LoRA has the base model's prefix, which is computed once for all of these. Raises
        FailedPrecondition if it could not be invoked in the variant's prompt.

        Where the route's cache is per tenant, and the backend's salt covers the prefix too, there is nothing to prime:
        each tenant's first request is cold. Nor is there on a backend whose cache is not known.
        """
        backend = self._backends[variant.backend]
        incarnation = backend.incarnation
        assembler = self._prompts[variant.backend, variant.prompt]
        prefix = assembler.prefix_with(variant.template_variables)
        async with self._adapters.acquire(variant.adapter) as adapter:
            shared = route.cache is CacheScope.SHARED or backend.salts_after_prefix
            activated = adapter is not None and bool(adapter.invocation)
            if adapter is not None:
                assembler.require_invocation(adapter.invocation, variant.template_variables)
            engine_name = None if adapter is None or activated else adapter.engine_name
            known = activated and self._ledger.knows(self._ledger.key(backend, None, None, prefix.fingerprint))
            if backend.keeps_prefixes and shared and prefix.token_ids and not known:
                computed = partial(self._computed, backend, engine_name, prefix.fingerprint)
                request = BackendRequest(
                    request_id=f"prime-{route.name}-{variant.name}-{backend.incarnation}",
                    token_ids=prefix.token_ids,
                    sampling=Sampling(max_tokens=1),
                    adapter=engine_name,
                    on_placed=computed,
                    account=MachineAccount.WARMUP,
                )
                slot = self._slots[backend.name].enter(engine_name)
                async with slot, aclosing(backend.generate(request)) as chunks:
                    async for chunk in chunks:
                        self._on_primed(backend.name, chunk)
                computed(Replica())
        bundle = bundle_of(route, variant)
        if self._ready.get(bundle) != incarnation:
            self._ready[bundle], self._cold[bundle] = incarnation, COLD_REQUESTS

    def _computed(self, backend: Backend, adapter: str | None, prefix: str, replica: Replica) -> None:
        self._ledger.computed(self._ledger.key(backend, None, adapter, prefix, replica.id))


def bundle_of(route: Route, variant: Variant) -> Bundle:
    """What tells one priming from another."""
    switches = json.dumps(variant.template_variables, sort_keys=True)
    return route.name, variant.name, variant.backend, variant.prompt, variant.adapter, route.cache, switches
