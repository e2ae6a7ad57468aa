"""What a variant does for one request that has its place: references, retrieval, assembly, the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from trivet.adapters.lifecycle.lease import AdapterLease
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.metering.account import Account
from trivet.metering.stages import Stage
from trivet.pipeline.answer.adapters import RequestAdapters
from trivet.pipeline.assembly import Assemblers, PromptAssembly
from trivet.pipeline.context import Context, ContextRetrieval
from trivet.pipeline.fingerprints import text_hash, unit_hash
from trivet.pipeline.passages import BoundedRetriever, retrieval_ends
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.response_sink import ResponseSink
from trivet.pipeline.rewriting import QuestionRewriter
from trivet.pipeline.stream import AnswerStream, Place
from trivet.ports import Backend
from trivet.routing.table import Resolution
from trivet.types.passage import Passage, QueryVector
from trivet.types.request import GenerateCall
from trivet.types.variant import Route, Variant


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
        on_demand: OnDemandAdapters | None = None,
        searched: Callable[[str, str, QueryVector], None] = lambda *_: None,
    ) -> None:
        """`enter` raises BackendUnavailable for a variant that is not warm, and says whether it is just so. `searched`
        is told a route, a request's id, and what its question was searched with; not of copies for a shadow."""
        self._adapters = RequestAdapters(adapters, on_demand)
        self._context = ContextRetrieval(retriever)
        self._rewriter = QuestionRewriter(prompts, backends, slots, ledger)
        self._assembly = PromptAssembly(prompts, backends)
        self._stream = AnswerStream(backends, slots, ledger)
        self._enter = enter
        self._searched = searched

    async def answer(
        self, call: GenerateCall, resolution: Resolution, place: Place, account: Account, sink: ResponseSink
    ) -> tuple[Passage, ...]:
        """The passages that its answers were given, when `sink` has had these piece by piece; `account` has them whole.

        Raises a TrivetError that says what failed. Cancelling it aborts the engine's work at once.
        """
        loop = asyncio.get_running_loop()
        account.cold = self._enter(resolution.route, resolution.variant)
        await self._assembly.require_room(call, resolution)
        async with self._adapters.hold(call, resolution, place, account) as (resolution, adapter):
            account.enter(Stage.RETRIEVE, loop.time())
            context = await self._retrieve(call, resolution, adapter, account)
            if self._falls_short(context, call, resolution.variant, account):
                await self._decline(resolution.variant, account, sink)
                return ()
            account.enter(Stage.ASSEMBLE, loop.time())
            prompt, granted = await self._assembly.assemble(
                call, resolution, context, account, () if adapter is None else adapter.invocation
            )
            account.enter(Stage.STREAM, loop.time())
            name = None if adapter is None else adapter.engine_name
            await self._stream.run(granted, resolution, prompt, name, place, account, sink)
            return prompt.passages

    async def _retrieve(
        self, call: GenerateCall, resolution: Resolution, adapter: AdapterLease | None, account: Account
    ) -> Context:
        settings = resolution.variant.retrieval
        if settings is None or call.retrieval.disabled:
            return Context()
        loop = asyncio.get_running_loop()
        started = loop.time()
        until = retrieval_ends(started, resolution.route.retrieval_deadline, call.deadline)
        rewritten = None
        try:
            if settings.rewrite is not None:
                rewritten = await self._rewriter.rewrite(call, resolution, settings.rewrite, adapter, account, until)
            context = await self._context.find(call, resolution.route, settings, until, rewritten)
        finally:
            account.retrieval = loop.time() - started
        account.searches = context.searches
        account.snapshot = context.snapshot
        account.retrieval_confidence = context.confidence
        account.degraded += context.degraded
        if context.query is not None and not account.shadow:
            self._searched(resolution.route.name, call.request_id, context.query)
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
        return bool(below) and call.json_schema is None and call.required_calls is None

    @staticmethod
    async def _decline(variant: Variant, account: Account, sink: ResponseSink) -> None:
        """Answer that the documents do not say, without the engine."""
        assert variant.retrieval is not None
        assert variant.retrieval.confidence is not None
        text = variant.retrieval.confidence.answer
        for number, choice in enumerate(account.choices):
            choice.decline(text)
            await sink.delta(text, number)


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
