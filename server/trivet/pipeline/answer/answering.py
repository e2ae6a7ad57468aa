"""What a variant does for one request that has its place: references, retrieval, assembly, the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import Overloaded
from trivet.metering.account import Account
from trivet.pipeline.assembly import Assemblers, PromptAssembly
from trivet.pipeline.context import Context, ContextRetrieval
from trivet.pipeline.fingerprints import text_hash, unit_hash
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.response_sink import ResponseSink
from trivet.pipeline.stream import AnswerStream, Place
from trivet.ports import Backend
from trivet.routing.table import Resolution
from trivet.types.passage import Passage
from trivet.types.request import GenerateCall
from trivet.types.variant import Route, Variant

_RETRY_AFTER = 1.0


class Answering:
    """Answers with a variant, whoever asks. All calls come from one event loop."""

    def __init__(
        self,
        *,
        adapters: AdapterManager,
        retriever: BoundedRetriever,
        prompts: Assemblers,
        backends: Mapping[str, Backend],
        slots: Mapping[str, AdapterSlots],
        ledger: PrefixCacheLedger,
        enter: Callable[[Route, Variant], bool],
    ) -> None:
        """`enter` raises BackendUnavailable for a variant that is not warm, and says whether it is just so."""
        self._adapters = adapters
        self._context = ContextRetrieval(retriever)
        self._assembly = PromptAssembly(prompts, backends)
        self._stream = AnswerStream(backends, slots, ledger)
        self._enter = enter

    async def answer(
        self, call: GenerateCall, resolution: Resolution, place: Place, account: Account, sink: ResponseSink
    ) -> tuple[str, tuple[Passage, ...]]:
        """The text, when `sink` has had it piece by piece, and the passages that it was given.

        Raises a TrivetError that says what failed. Cancelling it aborts the engine's work at once.
        """
        account.cold = self._enter(resolution.route, resolution.variant)
        await self._assembly.require_room(call, resolution)
        async with self._adapter(resolution.variant, place, account) as adapter:
            context = await self._retrieve(call, resolution, account)
            if self._falls_short(context, call, resolution.variant, account):
                return await self._decline(resolution.variant, account, sink), ()
            prompt, granted = await self._assembly.assemble(call, resolution, context, account)
            text = await self._stream.run(granted, resolution, prompt, adapter, place, account, sink)
            return text, prompt.passages

    @asynccontextmanager
    async def _adapter(self, variant: Variant, place: Place, account: Account) -> AsyncIterator[str | None]:
        """Hold the variant's adapter, by its engine name; one that gave way to others is brought back first."""
        if variant.adapter is None:
            yield None
            return
        loop = asyncio.get_running_loop()
        started, gave_way = loop.time(), self._adapters.gave_way(variant.adapter)
        if gave_way and not place.waits:
            raise Overloaded("adapters", 0, _RETRY_AFTER)
        async with AsyncExitStack() as held:
            try:
                adapter = await held.enter_async_context(self._adapters.acquire(variant.adapter))
            finally:
                account.adapter_wait = loop.time() - started if gave_way else 0.0
            assert adapter is not None
            account.adapter_digest = adapter.digest
            yield adapter.engine_name

    async def _retrieve(self, call: GenerateCall, resolution: Resolution, account: Account) -> Context:
        settings = resolution.variant.retrieval
        if settings is None or call.retrieval.disabled:
            return Context()
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            context = await self._context.find(call, resolution.route, settings)
        finally:
            account.retrieval = loop.time() - started
        account.searches = context.searches
        account.snapshot = context.snapshot
        account.retrieval_confidence = context.confidence
        account.degraded += context.degraded
        return context

    @staticmethod
    def _falls_short(context: Context, call: GenerateCall, variant: Variant, account: Account) -> bool:
        """Whether the variant's own words stand in for the model's."""
        below = False if variant.retrieval is None else context.below(variant.retrieval)
        if below is None:
            account.degraded.append("confidence_unknown")
        if below:
            account.degraded.append("low_confidence")
        # What a request constrains by its own schema cannot be answered with a fixed text.
        return bool(below) and call.json_schema is None

    @staticmethod
    async def _decline(variant: Variant, account: Account, sink: ResponseSink) -> str:
        """Answer that the documents do not say, without the engine."""
        assert variant.retrieval is not None
        assert variant.retrieval.confidence is not None
        account.decline()
        text = variant.retrieval.confidence.answer
        await sink.delta(text)
        return text


def mark_rollout(account: Account, call: GenerateCall, resolution: Resolution) -> None:
    """Write into the account which variant answers, and what those who compare requests have to know of it."""
    route, rollout = resolution.route, resolution.route.rollout
    account.resolve(resolution.variant, route.revision, resolution.unit_source)
    running = rollout is not None and rollout.id
    salt = rollout.salt if rollout is not None and running else route.salt
    if call.unit_id:
        account.unit_hash = unit_hash(salt, call.unit_id)
    if rollout is not None and running:
        account.rollout, account.rollout_step = rollout.id, rollout.step
        if not rollout.ended:
            account.text_hash = text_hash(salt, call.messages)
