"""One request, from arrival to receipt.

admit -> resolve (route, unit) to a variant -> refuse what cannot fit -> take its references -> retrieve under its own
deadline -> assemble tokens, stable first -> slot -> stream from the backend -> receipt, also for a cancelled or failed
request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import DeadlineExceeded, PromptTooLong
from trivet.metering.account import Account
from trivet.metering.prices import Price
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer_format import format_valid
from trivet.pipeline.assembly import Assemblers, PromptAssembly
from trivet.pipeline.context import Context, ContextRetrieval
from trivet.pipeline.fingerprints import text_hash, unit_hash
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.response_sink import ResponseSink
from trivet.pipeline.stream import AnswerStream
from trivet.ports import Backend, ReceiptSink
from trivet.prompts.tokenizer.token_bytes import has_more_bytes
from trivet.routing.table import Resolution, RouteTable
from trivet.types.answer import Answer
from trivet.types.passage import Passage
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall
from trivet.types.variant import Route, Variant

BYTES_PER_TOKEN = 3  # an estimate for admission alone, made before anything is tokenized
ON_THE_WAY = 0.025  # seconds between a client and its server
TIMEOUT_ROUNDING = 0.01


class GenerationPipeline:
    """Answers requests. All calls come from one event loop."""

    def __init__(
        self,
        *,
        routes: RouteTable,
        admission: Admission,
        adapters: AdapterManager,
        retriever: BoundedRetriever,
        prompts: Assemblers,
        backends: Mapping[str, Backend],
        slots: Mapping[str, AdapterSlots],
        ledger: PrefixCacheLedger,
        prices: Mapping[str, Price],
        sink: ReceiptSink,
        code_of: Callable[[BaseException], str],
        enter: Callable[[Route, Variant], bool],
    ) -> None:
        """`enter` raises BackendUnavailable for a variant that is not warm, and says whether it is just so."""
        self._routes = routes
        self._admission = admission
        self._adapters = adapters
        self._context = ContextRetrieval(retriever)
        self._prompts = prompts
        self._backends = backends
        self._assembly = PromptAssembly(prompts, backends)
        self._stream = AnswerStream(backends, slots, ledger)
        self._prices = prices
        self._sink = sink
        self._code_of = code_of
        self._enter = enter

    async def generate(self, call: GenerateCall, sink: ResponseSink) -> Answer:
        """Answer one request; `sink` gets the text as it comes and the receipt in any case.

        Raises a TrivetError that says what failed. Cancelling the task aborts the engine's work at once.
        """
        account = Account(call)
        try:
            text, passages = await self._within_deadline(call, account, sink)
        except BaseException as error:
            self._close(account, sink, self._failure_code(error, call))
            raise
        assert account.finish is not None
        return Answer(text, account.finish, passages, self._close(account, sink, "OK"))

    async def _within_deadline(
        self, call: GenerateCall, account: Account, sink: ResponseSink
    ) -> tuple[str, tuple[Passage, ...]]:
        route = self._routes.route(call.route)
        deadline = call.arrived + route.max_duration
        if call.deadline is not None:
            deadline = min(deadline, call.deadline)
        if deadline <= asyncio.get_running_loop().time():
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        self._refuse_hopeless(call, route)
        try:
            async with asyncio.timeout_at(deadline):
                return await self._answer(replace(call, deadline=deadline), account, sink)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the deadline passed after {deadline - call.arrived:.3f} s") from error

    def _refuse_hopeless(self, call: GenerateCall, route: Route) -> None:
        """Raise PromptTooLong for a conversation whose bytes fit no variant's context, before it waits."""
        fitting = max(
            self._prompts[variant.backend, variant.prompt].bytes_within(self._backends[variant.backend].context_tokens)
            for variant in route.variants.values()
        )
        known = fitting > 0  # the context is not, before an engine's first start
        if known and has_more_bytes([message.content for message in call.messages], fitting):
            raise PromptTooLong(
                f"the conversation has more than {fitting:,} bytes, which is the most that can fit into the model's "
                "context"
            )

    async def _answer(
        self, call: GenerateCall, account: Account, sink: ResponseSink
    ) -> tuple[str, tuple[Passage, ...]]:
        loop = asyncio.get_running_loop()
        estimate = size_of(call) // BYTES_PER_TOKEN
        async with self._admission.enter(tokens=estimate, priority=call.priority, tenant=call.tenant) as permit:
            account.queue = loop.time() - call.arrived
            resolution = self._resolve(call, account)
            account.cold = self._enter(resolution.route, resolution.variant)
            await self._assembly.require_room(call, resolution)
            async with self._adapter(resolution.variant, account) as adapter:
                context = await self._retrieve(call, resolution, account)
                passages: tuple[Passage, ...] = ()
                if self._falls_short(context, call, resolution.variant, account):
                    text = await self._decline(resolution.variant, account, sink)
                else:
                    prompt, granted = await self._assembly.assemble(call, resolution, context, account)
                    text = await self._stream.run(granted, resolution, prompt, adapter, permit, account, sink)
                    passages = prompt.passages
        account.format_valid = await format_valid(call, resolution.route, resolution.variant, text)
        return text, passages

    def _resolve(self, call: GenerateCall, account: Account) -> Resolution:
        found = self._routes.resolve(call.route, call.unit_id, request_id=call.request_id, forced=call.forced_variant)
        account.resolve(found.variant, found.route.revision, found.unit_source)
        rollout = found.route.rollout
        running = rollout is not None and rollout.id
        salt = rollout.salt if rollout is not None and running else found.route.salt
        if call.unit_id:
            account.unit_hash = unit_hash(salt, call.unit_id)
        if rollout is not None and running:
            account.rollout, account.rollout_step = rollout.id, rollout.step
            if not rollout.ended:
                account.text_hash = text_hash(salt, call.messages)
        return found

    @asynccontextmanager
    async def _adapter(self, variant: Variant, account: Account) -> AsyncIterator[str | None]:
        """Hold the variant's adapter, by its engine name; one that gave way to others is brought back first."""
        if variant.adapter is None:
            yield None
            return
        loop = asyncio.get_running_loop()
        started, gave_way = loop.time(), self._adapters.gave_way(variant.adapter)
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

    def _failure_code(self, error: BaseException, call: GenerateCall) -> str:
        code = self._code_of(error)
        cancelled = code == self._code_of(asyncio.CancelledError())
        by_deadline = cancelled and deadline_ended(call, asyncio.get_running_loop().time())
        return self._code_of(DeadlineExceeded("")) if by_deadline else code

    def _close(self, account: Account, sink: ResponseSink, code: str) -> Receipt:
        price = self._prices.get(account.variant.backend) if account.variant is not None else None
        receipt = account.close(code=code, now=asyncio.get_running_loop().time(), price=price)
        self._sink.record(receipt, account.token_gaps)
        sink.closed(receipt)
        return receipt


def deadline_ended(call: GenerateCall, now: float) -> bool:
    """Whether a call that the transport cancelled `now` was cancelled because the client's deadline passed.

    The client's clock started before the request arrived, and gRPC's core rounds a time-out of more than a second up,
    by 1% at most: so the client gives up a little before the deadline that is known here. One that cancels on its own
    within that time cannot be told from it.
    """
    if call.deadline is None:
        return False
    given = call.deadline - call.arrived
    early = min(given / 2, ON_THE_WAY + TIMEOUT_ROUNDING * given)
    return now >= call.deadline - early


def size_of(call: GenerateCall) -> int:
    """Bytes of the conversation's text."""
    return sum(len(message.content.encode()) for message in call.messages)
