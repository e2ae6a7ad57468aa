"""The last step of a request: a slot for its adapter, the hand-over to the backend, and the answer as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import fields, replace
from typing import Any, Protocol

from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import GenerationFailed, Overloaded
from trivet.metering.account import Account
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.response_sink import ResponseSink
from trivet.ports import Backend
from trivet.routing.table import Resolution
from trivet.types.generation import BackendRequest, FinishReason, MachineAccount
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import GenerateCall
from trivet.types.variant import CacheScope, Route, Sampling, Variant

ANSWERED = (FinishReason.STOP, FinishReason.LENGTH)
OPERATOR = ""  # whose a variant's schema is
_RETRY_AFTER = 1.0


class Place(Protocol):
    """What a request holds while it runs."""

    @property
    def waits(self) -> bool:
        """Whether it may stand in line for a slot of the engine or for the trial of a client's schema, where it might
        make others wait; else it fails with Overloaded there."""
        ...

    def aside(self) -> AbstractAsyncContextManager[None]:
        """Let others have the place while it waits for something else."""
        ...


class AnswerStream:
    """Streams answers. `slots`: by backend, like `backends`. All calls come from one event loop."""

    def __init__(
        self, backends: Mapping[str, Backend], slots: Mapping[str, AdapterSlots], ledger: PrefixCacheLedger
    ) -> None:
        self._backends = backends
        self._slots = slots
        self._ledger = ledger

    async def run(
        self,
        call: GenerateCall,
        resolution: Resolution,
        prompt: AssembledPrompt,
        adapter: str | None,
        place: Place,
        account: Account,
        sink: ResponseSink,
    ) -> str:
        """The whole answer, when `sink` has had it piece by piece. `adapter` is an engine name.

        The slot is held until the stream has ended, failed or been abandoned. Raises what the backend raises, and
        GenerationFailed for a stream that ends without an answer's end.
        """
        loop, variant = asyncio.get_running_loop(), resolution.variant
        backend = self._backends[variant.backend]
        schema, owner = (call.json_schema, call.tenant) if call.json_schema else (variant.json_schema, OPERATOR)
        if schema is not None and not backend.schema_known(schema, owner):
            await self._admit_schema(backend, schema, owner, place, account)
        salt = cache_salt(resolution.route, call.tenant)
        request = BackendRequest(
            request_id=call.request_id,
            token_ids=prompt.token_ids,
            sampling=sampling_of(call, variant),
            adapter=adapter,
            cache_salt=salt,
            unsalted_tokens=prompt.prefix_tokens,
            json_schema=schema,
            priority=call.priority,
            schema_owner=owner,
            on_unread=account.add_unread,
            on_charge=account.charge_time,
            account=MachineAccount.SHADOW if account.shadow else MachineAccount.REQUESTS,
            tools=call.tools,
            template_variables=prompt.template_variables,
        )
        pieces: list[str] = []
        async with self._slot(variant.backend, adapter, place, account):
            key = self._ledger.key(backend, salt, adapter, prompt.prefix_fingerprint)
            account.expected_cached_tokens = self._ledger.expected(key, prompt.prefix_tokens, backend.block_size)
            account.submit(loop.time())
            async with aclosing(backend.generate(request)) as chunks:  # closing aborts the engine's work
                async for chunk in chunks:
                    if account.first_token is None:
                        self._ledger.computed(key)
                    account.add(chunk, loop.time())
                    if chunk.reasoning:
                        await sink.reasoning(chunk.reasoning)
                    if chunk.text:
                        pieces.append(chunk.text)
                        await sink.delta(chunk.text)
        if account.finish not in ANSWERED:
            raise GenerationFailed("the engine gave the answer up")
        return "".join(pieces)

    @staticmethod
    async def _admit_schema(
        backend: Backend, schema: Mapping[str, Any], owner: str, place: Place, account: Account
    ) -> None:
        """A new schema waits for its turn; others have the request's place meanwhile. The wait is the queue's."""
        if not place.waits and owner != OPERATOR:
            raise Overloaded("schemas", 0, _RETRY_AFTER)
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with place.aside():
                await backend.admit_schema(schema, owner)
        finally:
            account.queue = (account.queue or 0.0) + loop.time() - started

    @asynccontextmanager
    async def _slot(self, backend: str, adapter: str | None, place: Place, account: Account) -> AsyncIterator[None]:
        """Hold a slot of the engine; a request that has to wait for one lets others have its place meanwhile."""
        if adapter is None:
            yield
            return
        slots = self._slots[backend]
        async with AsyncExitStack() as held:
            if slots.admits(adapter):
                await held.enter_async_context(slots.enter(adapter))
            elif not place.waits:
                raise Overloaded("adapter slots", slots.leased, _RETRY_AFTER)
            else:
                await self._line_up(slots, adapter, place, account, held)
            yield

    @staticmethod
    async def _line_up(slots: AdapterSlots, adapter: str, place: Place, account: Account, held: AsyncExitStack) -> None:
        """Enter a slot into `held`. The wait for it is the adapter's; that for a place afterwards is the queue's."""
        loop = asyncio.get_running_loop()
        started = stepped_up = loop.time()
        try:
            async with place.aside():
                try:
                    await held.enter_async_context(slots.enter(adapter))
                finally:
                    stepped_up = loop.time()
                    account.adapter_wait = (account.adapter_wait or 0.0) + stepped_up - started
        finally:
            account.queue = (account.queue or 0.0) + loop.time() - stepped_up


def cache_salt(route: Route, tenant: str) -> str | None:
    """Who may share the KV blocks after the static prefix: everybody (None), or the tenant's own requests."""
    return tenant if route.cache is CacheScope.TENANT else None


def sampling_of(call: GenerateCall, variant: Variant) -> Sampling:
    """The variant's sampling with what the request asks for."""
    names = (field.name for field in fields(Sampling) if field.name != "stop")
    asked = {name: value for name in names if (value := getattr(call, name)) is not None}
    return replace(variant.sampling, **asked, stop=(*variant.sampling.stop, *call.stop))
