"""The last step of a request: a slot for its adapter, the hand-over to the backend, and the answers as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from typing import Any, Protocol

from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import GenerationFailed, InvalidRequest, Overloaded
from trivet.metering.account import Account, ChoiceAccount
from trivet.pipeline.backend_request import (
    OPERATOR,
    backend_request,
    numbered,
    require_few_logprobs,
    schema_of,
    shareable,
)
from trivet.pipeline.prefix_ledger import ExpectedPrefix, PrefixCacheLedger
from trivet.pipeline.reasoning.reasoned import comparable, reasoned
from trivet.pipeline.response_sink import ResponseSink
from trivet.ports import Backend
from trivet.routing.table import Resolution
from trivet.types.generation import BackendRequest, Chunk, FinishReason
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import GenerateCall

ANSWERED = (FinishReason.STOP, FinishReason.LENGTH)
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
    ) -> None:
        """All answers of the request, at the same time; `sink` has them piece by piece, `account` as a whole.
        `adapter` is an engine name.

        The slot is held until all have ended, or one has failed, or they are abandoned. Raises what the backend raises,
        and GenerationFailed for a stream that ends without an answer's end.
        """
        variant = resolution.variant
        backend = self._backends[variant.backend]
        schema, owner = schema_of(call, variant)
        if schema is not None and not backend.schema_known(schema, owner):
            with _as_tools(call.required_calls is not None):
                await self._admit_schema(backend, schema, owner, place, account)
        request = backend_request(call, resolution, prompt, adapter, schema, owner, account)
        require_few_logprobs(request.sampling, call.n)
        if variant.samples > 1 and comparable(request):
            account.samples = variant.samples
        # What stands before an activated LoRA's invocation, and so the whole prefix, is the base model's.
        whose = adapter if prompt.activated_from is None else None
        async with self._slot(variant.backend, adapter, place, account):
            account.shareable_tokens = shareable(prompt, backend.block_size)
            prefixes = [
                ExpectedPrefix(self._ledger, backend, request.cache_salt, whose, prompt, one) for one in account.choices
            ]
            account.submit(asyncio.get_running_loop().time())
            writer = _Writer(sink)

            def made(asked: BackendRequest) -> AsyncGenerator[Chunk, None]:
                return reasoned(backend.generate, asked, variant.reasoning, account.agree)

            await all_of(
                [
                    self._one(made(numbered(request, number, one, prefix)), number, one, prefix, writer)
                    for number, (one, prefix) in enumerate(zip(account.choices, prefixes, strict=True))
                ]
            )
        if account.finish not in ANSWERED:
            raise GenerationFailed("the engine gave the answer up")

    @staticmethod
    async def _one(
        answer: AsyncGenerator[Chunk, None],
        number: int,
        account: ChoiceAccount,
        prefix: ExpectedPrefix,
        writer: _Writer,
    ) -> None:
        """One answer, from the engine to the reader."""
        loop = asyncio.get_running_loop()
        async with aclosing(answer) as chunks:  # closing aborts the engine's work
            async for chunk in chunks:
                if account.first_token is None:
                    prefix.computed()
                account.add(chunk, loop.time())
                await writer.write(chunk, number)

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


class _Writer:
    """Hands the pieces of all answers to one reader, one after the other."""

    def __init__(self, sink: ResponseSink) -> None:
        self._sink = sink
        self._turn = asyncio.Lock()

    async def write(self, chunk: Chunk, choice: int) -> None:
        """Returns when the reader has it."""
        async with self._turn:
            if chunk.logprobs:
                await self._sink.logprobs(chunk.logprobs, choice)
            if chunk.reasoning:
                await self._sink.reasoning(chunk.reasoning, choice)
            if chunk.text:
                await self._sink.delta(chunk.text, choice)
            if chunk.call_deltas:
                await self._sink.tool_calls(chunk.call_deltas, choice)


async def all_of(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all at the same time; the first that fails ends the others, and its error is raised."""
    if len(works) == 1:
        await works[0]
        return
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


@contextmanager
def _as_tools(calls: bool) -> Iterator[None]:
    """What is wrong with the schema of calls is wrong with the tools."""
    try:
        yield
    except InvalidRequest as problem:
        told = problem.fields.get("json_schema")
        if not calls or told is None:
            raise
        raise InvalidRequest({"tools": f"as calls that are required: {told}"}) from problem
