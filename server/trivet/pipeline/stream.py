"""The last step of a request: a slot for its adapter, the hand-over to the backend, and the answers as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import fields, replace
from typing import Any, Protocol

from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.errors import GenerationFailed, InvalidRequest, Overloaded
from trivet.metering.account import Account, ChoiceAccount
from trivet.pipeline.prefix_ledger import ExpectedPrefix, PrefixCacheLedger
from trivet.pipeline.reasoning.reasoned import comparable, reasoned
from trivet.pipeline.response_sink import ResponseSink
from trivet.ports import Backend
from trivet.routing.table import Resolution
from trivet.types.generation import BackendRequest, Chunk, FinishReason, MachineAccount
from trivet.types.prompt import AssembledPrompt
from trivet.types.request import GenerateCall
from trivet.types.variant import (
    MOST_GATHERED_MS,
    MOST_GATHERED_TOKENS,
    CacheScope,
    Route,
    Sampling,
    StreamPace,
    Variant,
)

ANSWERED = (FinishReason.STOP, FinishReason.LENGTH)
OPERATOR = ""  # whose a variant's schema is
MOST_LOGPROBS = 50_000  # of a request's answers: about two megabytes as a message
_RETRY_AFTER = 1.0
_ASKED = tuple(field.name for field in fields(Sampling) if field.name != "stop")  # a request's stop strings are added


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
        request = _request_of(call, resolution, prompt, adapter, schema, owner, account)
        _require_few_logprobs(request.sampling, call.n)
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
                    self._one(made(_numbered(request, number, one, prefix)), number, one, prefix, writer)
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


def _numbered(request: BackendRequest, number: int, account: ChoiceAccount, prefix: ExpectedPrefix) -> BackendRequest:
    """The request of one answer: with a name, a seed and an account of its own."""
    sampling, seed = request.sampling, request.sampling.seed
    if number and seed is not None:
        sampling = replace(sampling, seed=(seed + number) % 2**63)
    return replace(
        request,
        request_id=f"{request.request_id}-{number}" if number else request.request_id,
        sampling=sampling,
        on_unread=account.add_unread,
        on_charge=account.charge_time,
        on_placed=prefix.placed,
    )


def _request_of(
    call: GenerateCall,
    resolution: Resolution,
    prompt: AssembledPrompt,
    adapter: str | None,
    schema: Mapping[str, Any] | None,
    owner: str,
    account: Account,
) -> BackendRequest:
    """What the engine is given: the prompt, how to answer, and what takes the answer apart."""
    return BackendRequest(
        request_id=call.request_id,
        token_ids=prompt.token_ids,
        sampling=sampling_of(call, resolution.variant),
        adapter=adapter,
        cache_salt=cache_salt(resolution.route, call.tenant),
        json_schema=schema,
        schema_owner=owner,
        pace=pace_of(call, resolution.route),
        activated_from=prompt.activated_from,
        unsalted_tokens=prompt.prefix_tokens,
        priority=1 if account.shadow else 0,  # a client's own orders its tenant's requests before the engine alone
        account=MachineAccount.SHADOW if account.shadow else MachineAccount.REQUESTS,
        tools=call.tools,
        template_variables=prompt.template_variables,
        required_calls=call.required_calls,
        single_call=call.single_call,
        messages=prompt.messages,
    )


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


def _require_few_logprobs(sampling: Sampling, answers: int) -> None:
    """They are kept until the answers are whole, and go out in one message."""
    asked = 0 if sampling.top_logprobs is None else (sampling.top_logprobs + 1) * sampling.max_tokens * answers
    if asked > MOST_LOGPROBS:
        several = f"{answers} answers" if answers > 1 else "an answer"
        told = f"with the token itself {asked:,} for {several} of {sampling.max_tokens:,} tokens"
        raise InvalidRequest({"top_logprobs": f"{told}, expected at most {MOST_LOGPROBS:,}"})


def schema_of(call: GenerateCall, variant: Variant) -> tuple[Mapping[str, Any] | None, str]:
    """What constrains the answer, and whose it is: required calls before any form of a text, for there is none."""
    if call.required_calls is not None:
        return call.required_calls.schema, call.tenant
    if call.json_schema:
        return call.json_schema, call.tenant
    return variant.json_schema, OPERATOR


def shareable(prompt: AssembledPrompt, block_size: int) -> int | None:
    """Tokens in whole KV blocks before an activated LoRA's invocation, which all adapters share with the base model."""
    start = prompt.activated_from
    return None if start is None else start // block_size * block_size


def cache_salt(route: Route, tenant: str) -> str | None:
    """Who may share the KV blocks after the static prefix: everybody (None), or the tenant's own requests."""
    return tenant if route.cache is CacheScope.TENANT else None


def as_a_whole(call: GenerateCall) -> GenerateCall:
    """The same for who reads nothing on the way: tokens are gathered as far as can be."""
    return replace(call, stream_max_tokens=MOST_GATHERED_TOKENS, stream_max_ms=MOST_GATHERED_MS)


def pace_of(call: GenerateCall, route: Route) -> StreamPace:
    """The route's, with what the request asks for."""
    tokens, ms = call.stream_max_tokens, call.stream_max_ms
    if tokens is None and ms is None:
        return route.stream
    own = route.stream
    return StreamPace(own.max_tokens if tokens is None else tokens, own.max_ms if ms is None else ms)


def wanted_tokens(call: GenerateCall, variant: Variant) -> int:
    """How long an answer may be: as the request asks, else as the variant has it."""
    return variant.sampling.max_tokens if call.max_tokens is None else call.max_tokens


def sampling_of(call: GenerateCall, variant: Variant) -> Sampling:
    """The variant's sampling with what the request asks for."""
    asked = {name: value for name in _ASKED if (value := getattr(call, name)) is not None}
    return replace(variant.sampling, **asked, stop=(*variant.sampling.stop, *call.stop))
