"""A request as a backend is asked: the prompt, how to answer, who shares what is cached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from trivet.errors import InvalidRequest
from trivet.metering.account import Account, ChoiceAccount
from trivet.pipeline.prefix_ledger import ExpectedPrefix
from trivet.routing.table import Resolution
from trivet.types.generation import BackendRequest, MachineAccount
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

OPERATOR = ""  # whose a variant's schema is
MOST_LOGPROBS = 50_000  # of a request's answers: about two megabytes as a message
_ASKED = tuple(field.name for field in fields(Sampling) if field.name != "stop")  # a request's stop strings are added


def backend_request(
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


def numbered(request: BackendRequest, number: int, account: ChoiceAccount, prefix: ExpectedPrefix) -> BackendRequest:
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


def require_few_logprobs(sampling: Sampling, answers: int) -> None:
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
