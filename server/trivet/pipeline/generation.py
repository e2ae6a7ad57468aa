"""One request, from arrival to receipt.

admit -> resolve (route, unit) to a variant and take its references -> retrieve under its own deadline -> assemble
tokens, stable first -> slot -> stream from the backend -> receipt, also for a cancelled or failed request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import DeadlineExceeded
from trivet.metering.account import Account
from trivet.metering.prices import Price
from trivet.pipeline.admission import Admission
from trivet.pipeline.context import Context, ContextRetrieval
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.reader import Reader
from trivet.pipeline.stream import AnswerStream, sampling_of
from trivet.pipeline.warmth import PrefixBooks
from trivet.ports import Backend, ReceiptSink
from trivet.prompts.assembler import PromptAssembler
from trivet.routing.table import Resolution, RouteTable
from trivet.types.answer import Answer
from trivet.types.passage import Passage
from trivet.types.prompt import AssembledPrompt
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall
from trivet.types.variant import Route, Variant, VersionRef

Assemblers = Mapping[tuple[str, VersionRef], PromptAssembler]  # by backend and prompt
BYTES_PER_TOKEN = 3  # an estimate for admission alone, made before anything is tokenized
LONG_PROMPT_BYTES = 16_384


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
        books: PrefixBooks,
        prices: Mapping[str, Price],
        sink: ReceiptSink,
        code_of: Callable[[BaseException], str],
        require_ready: Callable[[Route, Variant], None],
    ) -> None:
        """`require_ready` raises BackendUnavailable for a variant that is not warm."""
        self._routes = routes
        self._admission = admission
        self._adapters = adapters
        self._context = ContextRetrieval(retriever)
        self._prompts = prompts
        self._backends = backends
        self._stream = AnswerStream(backends, slots, books)
        self._prices = prices
        self._sink = sink
        self._code_of = code_of
        self._require_ready = require_ready

    async def generate(self, call: GenerateCall, reader: Reader) -> Answer:
        """Answer one request; `reader` gets the text as it comes and the receipt in any case.

        Raises a TrivetError that says what failed. Cancelling the task aborts the engine's work at once.
        """
        account = Account(call)
        try:
            text, passages = await self._within_deadline(call, account, reader)
        except BaseException as error:
            self._close(account, reader, self._failure_code(error, call))
            raise
        assert account.finish is not None
        return Answer(text, account.finish, passages, self._close(account, reader, "OK"))

    async def _within_deadline(
        self, call: GenerateCall, account: Account, reader: Reader
    ) -> tuple[str, tuple[Passage, ...]]:
        deadline = call.arrived + self._routes.route(call.route).max_duration
        if call.deadline is not None:
            deadline = min(deadline, call.deadline)
        if deadline <= asyncio.get_running_loop().time():
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        try:
            async with asyncio.timeout_at(deadline):
                return await self._answer(replace(call, deadline=deadline), account, reader)
        except TimeoutError as error:
            raise DeadlineExceeded(f"the deadline passed after {deadline - call.arrived:.3f} s") from error

    async def _answer(self, call: GenerateCall, account: Account, reader: Reader) -> tuple[str, tuple[Passage, ...]]:
        loop = asyncio.get_running_loop()
        async with self._admission.enter(tokens=size_of(call) // BYTES_PER_TOKEN, priority=call.priority) as place:
            account.queue = loop.time() - call.arrived
            resolution = self._routes.resolve(call.route, call.unit_id)
            account.resolve(resolution.variant, resolution.route.revision, resolution.unit_source)
            self._require_ready(resolution.route, resolution.variant)
            async with self._adapter(resolution.variant, account) as adapter:
                context = await self._retrieve(call, resolution, account)
                if self._falls_short(context, call, resolution.variant, account):
                    return await self._decline(resolution.variant, account, reader), ()
                prompt = await self._assemble(call, resolution.variant, context, account)
                text = await self._stream.run(call, resolution, prompt, adapter, place, account, reader)
        return text, prompt.passages

    @asynccontextmanager
    async def _adapter(self, variant: Variant, account: Account) -> AsyncIterator[str | None]:
        """Hold the variant's adapter, by its engine name; one that gave way to others is brought back first."""
        if variant.adapter is None:
            yield None
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with AsyncExitStack() as held:
            try:
                adapter = await held.enter_async_context(self._adapters.acquire(variant.adapter))
            finally:
                account.adapter_wait = loop.time() - started
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
    async def _decline(variant: Variant, account: Account, reader: Reader) -> str:
        """Answer that the documents do not say, without the engine."""
        assert variant.retrieval is not None
        assert variant.retrieval.confidence is not None
        account.decline()
        text = variant.retrieval.confidence.answer
        await reader.delta(text)
        return text

    async def _assemble(
        self, call: GenerateCall, variant: Variant, context: Context, account: Account
    ) -> AssembledPrompt:
        backend = self._backends[variant.backend]
        sampling = sampling_of(call, variant)
        few_shot = None if variant.retrieval is None else variant.retrieval.few_shot
        assemble = partial(
            self._prompts[variant.backend, variant.prompt].assemble,
            call.messages,
            context_tokens=backend.context_tokens,
            max_tokens=sampling.max_tokens,
            variables=call.variables,
            passages=context.passages,
            passage_tokens=None if variant.retrieval is None else variant.retrieval.token_budget,
            examples=context.examples,
            example_tokens=None if few_shot is None else few_shot.token_budget,
        )
        # A thread's switch costs more than encoding a usual prompt; a megabyte of text would hold up every stream.
        prompt = assemble() if size_of(call) <= LONG_PROMPT_BYTES else await asyncio.to_thread(assemble)
        if prompt.dropped:
            account.degraded.append("passages_dropped")
        if prompt.dropped_examples:
            account.degraded.append("examples_dropped")
        account.example_ids = tuple(example.id for example in prompt.examples)
        account.passage_ids = tuple(passage.id for passage in prompt.passages)
        account.input_tokens = len(prompt.token_ids)
        return prompt

    def _failure_code(self, error: BaseException, call: GenerateCall) -> str:
        passed = call.deadline is not None and asyncio.get_running_loop().time() >= call.deadline
        # The transport cancels the task when the client's deadline passes, maybe before our own timer fires.
        cause = DeadlineExceeded("") if isinstance(error, asyncio.CancelledError) and passed else error
        return self._code_of(cause)

    def _close(self, account: Account, reader: Reader, code: str) -> Receipt:
        price = self._prices.get(account.variant.backend) if account.variant is not None else None
        receipt = account.close(code=code, now=asyncio.get_running_loop().time(), price=price)
        self._sink.record(receipt, account.token_gaps)
        reader.closed(receipt)
        return receipt


def size_of(call: GenerateCall) -> int:
    """Bytes of the conversation's text."""
    return sum(len(message.content.encode()) for message in call.messages)
