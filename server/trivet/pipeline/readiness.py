"""Warm before weight: adapters resident and prefixes primed before a variant gets traffic."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

from trivet.adapters.manager import AdapterManager
from trivet.pipeline.generation import Assemblers
from trivet.pipeline.warmth import PrefixBooks
from trivet.ports import Backend
from trivet.types.generation import BackendRequest
from trivet.types.variant import CacheScope, Route, Sampling, Variant


class Readiness:
    """Primes variants and knows which are warm."""

    def __init__(
        self, backends: Mapping[str, Backend], adapters: AdapterManager, prompts: Assemblers, books: PrefixBooks
    ) -> None:
        self._backends = backends
        self._adapters = adapters
        self._prompts = prompts
        self._books = books
        self._ready: set[tuple[str, int, str, str]] = set()

    def is_ready(self, route: Route, variant: Variant) -> bool:
        """Whether it was primed on the engine as it lives now."""
        backend = self._backends[variant.backend]
        return backend.ready and (backend.name, backend.incarnation, route.name, variant.name) in self._ready

    async def prime(self, route: Route, variant: Variant) -> None:
        """Compute the variant's static prefix on its backend, under its adapter.

        Where the route's cache is per tenant there is nothing to prime: each tenant's first request is cold.
        """
        backend = self._backends[variant.backend]
        prefix = self._prompts[variant.backend, variant.prompt].prefix
        async with self._adapters.acquire(variant.adapter) as adapter:
            if route.cache is CacheScope.SHARED and prefix.token_ids:
                engine_name = None if adapter is None else adapter.engine_name
                request = BackendRequest(
                    request_id=f"prime-{route.name}-{variant.name}-{backend.incarnation}",
                    token_ids=prefix.token_ids,
                    sampling=Sampling(max_tokens=1),
                    adapter=engine_name,
                )
                async with aclosing(backend.generate(request)) as chunks:
                    async for _ in chunks:
                        pass
                self._books.computed(self._books.key(backend, None, engine_name, prefix.fingerprint))
        self._ready.add((backend.name, backend.incarnation, route.name, variant.name))
