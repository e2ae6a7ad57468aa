"""Between the backend seam's types and the contract's messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trivet.engine.v1 import engine_pb2
from trivet.errors import InvalidRequest
from trivet.types.generation import (
    BackendRequest,
    CallDelta,
    Chunk,
    EngineTimes,
    FinishReason,
    Logprob,
    MachineAccount,
    MachineCharge,
    RequestedCall,
    TokenLogprob,
)
from trivet.types.request import RequiredCalls, Tool
from trivet.types.variant import MOST_GATHERED_MS, MOST_GATHERED_TOKENS, Sampling, StreamPace

_FINISH = {
    FinishReason.STOP: engine_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: engine_pb2.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: engine_pb2.FINISH_REASON_CANCELLED,
}
_ACCOUNTS = {
    MachineAccount.REQUESTS: engine_pb2.ACCOUNT_REQUESTS,
    MachineAccount.SHADOW: engine_pb2.ACCOUNT_SHADOW,
    MachineAccount.WARMUP: engine_pb2.ACCOUNT_WARMUP,
}
_ACCOUNTED = {value: account for account, value in _ACCOUNTS.items()}
_FINISHED = {value: reason for reason, value in _FINISH.items()}


def start_to_proto(request: BackendRequest) -> engine_pb2.Start:
    """What a node needs of a request."""
    return engine_pb2.Start(
        request_id=request.request_id,
        token_ids=request.token_ids,
        sampling=_sampling_to_proto(request.sampling),
        adapter=request.adapter or "",
        cache_salt=request.cache_salt,
        unsalted_tokens=request.unsalted_tokens,
        activated_from=request.activated_from,
        json_schema="" if request.json_schema is None else json.dumps(request.json_schema),
        schema_owner=request.schema_owner,
        priority=request.priority,
        tools=[
            engine_pb2.Tool(name=tool.name, description=tool.description, parameters=json.dumps(dict(tool.parameters)))
            for tool in request.tools
        ],
        template_variables=json.dumps(dict(request.template_variables)) if request.template_variables else "",
        required_calls=request.required_calls is not None,
        required_tool="" if request.required_calls is None else request.required_calls.name,
        single_call=request.single_call,
        account=_ACCOUNTS.get(request.account, engine_pb2.ACCOUNT_REQUESTS),
        gathered_tokens=request.pace.max_tokens,
        gathered_ms=request.pace.max_ms,
    )


def start_from_proto(start: engine_pb2.Start) -> BackendRequest:
    """Raises InvalidRequest for JSON that is none, or no object."""
    schema = _object(start.json_schema, "json_schema") if start.json_schema else None
    if start.required_calls and schema is None:
        raise InvalidRequest({"required_calls": "expected with the json_schema of the calls"})
    return BackendRequest(
        request_id=start.request_id,
        token_ids=tuple(start.token_ids),
        sampling=_sampling_from_proto(start.sampling),
        adapter=start.adapter or None,
        cache_salt=start.cache_salt if start.HasField("cache_salt") else None,
        unsalted_tokens=start.unsalted_tokens,
        activated_from=start.activated_from if start.HasField("activated_from") else None,
        json_schema=schema,
        schema_owner=start.schema_owner,
        priority=start.priority,
        tools=tuple(
            Tool(tool.name, tool.description, _object(tool.parameters, "tools"), len(tool.parameters))
            for tool in start.tools
        ),
        template_variables=_object(start.template_variables, "template_variables") if start.template_variables else {},
        required_calls=RequiredCalls(schema, start.required_tool) if start.required_calls and schema else None,
        single_call=start.single_call,
        account=_ACCOUNTED.get(start.account, MachineAccount.REQUESTS),
        pace=_pace(start),
    )


def _pace(start: engine_pb2.Start) -> StreamPace:
    own = StreamPace()
    tokens = start.gathered_tokens if start.HasField("gathered_tokens") else own.max_tokens
    ms = start.gathered_ms if start.HasField("gathered_ms") else own.max_ms
    if not (1 <= tokens <= MOST_GATHERED_TOKENS and 0 <= ms <= MOST_GATHERED_MS):
        expected = f"expected 1 to {MOST_GATHERED_TOKENS:,} tokens and 0 to {MOST_GATHERED_MS:,.0f} ms"
        raise InvalidRequest({"gathered_tokens": f"{tokens} tokens in {ms:g} ms, {expected}"})
    return StreamPace(tokens, ms)


def chunk_to_proto(chunk: Chunk, message: engine_pb2.Chunk) -> None:
    """Into an empty message, without the time at which it left the engine: clocks of two machines have nothing in
    common. What is as it is by default is left out: this is done for each chunk of each answer."""
    message.text = chunk.text
    message.tokens = chunk.tokens
    if chunk.finish is not None:
        message.finish = _FINISH[chunk.finish]
    if chunk.input_tokens is not None:
        message.input_tokens = chunk.input_tokens
    if chunk.cached_tokens is not None:
        message.cached_tokens = chunk.cached_tokens
    if chunk.reasoning:
        message.reasoning = chunk.reasoning
    if chunk.reasoning_tokens is not None:
        message.reasoning_tokens = chunk.reasoning_tokens
    if chunk.parser_gave_up:
        message.parser_gave_up = True
    times = chunk.times
    if times is not None:
        told = message.times
        told.queue, told.prefill, told.decode = times.queue, times.prefill, times.decode
        told.preemptions = times.preemptions
    for call in chunk.tool_calls:
        message.tool_calls.add(id=call.id, name=call.name, arguments=call.arguments)
    for delta in chunk.call_deltas:
        message.call_deltas.add(index=delta.index, id=delta.id, name=delta.name, arguments=delta.arguments)
    for token in chunk.logprobs:
        message.logprobs.add(
            written=engine_pb2.Logprob(token=token.written.token, logprob=token.written.logprob),
            top=[engine_pb2.Logprob(token=one.token, logprob=one.logprob) for one in token.top],
        )


def chunk_from_proto(message: engine_pb2.Chunk, now: float) -> Chunk:
    """`now`: the event loop's time, which stands for when its last token left the engine."""
    times = message.times if message.HasField("times") else None
    calls, deltas, logprobs = message.tool_calls, message.call_deltas, message.logprobs
    return Chunk(
        text=message.text,
        tokens=message.tokens,
        engine_at=now,
        finish=_FINISHED.get(message.finish),
        input_tokens=message.input_tokens if message.HasField("input_tokens") else None,
        cached_tokens=message.cached_tokens if message.HasField("cached_tokens") else None,
        times=None if times is None else EngineTimes(times.queue, times.prefill, times.decode, times.preemptions),
        reasoning=message.reasoning,
        reasoning_tokens=message.reasoning_tokens if message.HasField("reasoning_tokens") else None,
        tool_calls=tuple(RequestedCall(call.name, call.arguments, call.id) for call in calls) if calls else (),
        call_deltas=tuple(map(_delta_from_proto, deltas)) if deltas else (),
        logprobs=tuple(map(_logprobs_from_proto, logprobs)) if logprobs else (),
        parser_gave_up=message.parser_gave_up,
    )


def charge_to_proto(charge: MachineCharge) -> engine_pb2.Charge:
    """What a request costs on a machine whose time is shared out."""
    return engine_pb2.Charge(prefill=charge.prefill, decode=charge.decode, prompt_weight=charge.prompt_weight)


def charge_from_proto(message: engine_pb2.Charge) -> MachineCharge:
    """The same."""
    weight = message.prompt_weight if message.HasField("prompt_weight") else None
    return MachineCharge(message.prefill, message.decode, weight)


def _delta_from_proto(delta: engine_pb2.CallDelta) -> CallDelta:
    return CallDelta(delta.index, delta.name, delta.id, delta.arguments)


def _logprobs_from_proto(token: engine_pb2.TokenLogprob) -> TokenLogprob:
    top = tuple(Logprob(one.token, one.logprob) for one in token.top)
    return TokenLogprob(Logprob(token.written.token, token.written.logprob), top)


def _sampling_to_proto(sampling: Sampling) -> engine_pb2.Sampling:
    return engine_pb2.Sampling(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        stop=sampling.stop,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        max_reasoning_tokens=sampling.max_reasoning_tokens,
        top_logprobs=sampling.top_logprobs,
    )


def _sampling_from_proto(sampling: engine_pb2.Sampling) -> Sampling:
    return Sampling(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed if sampling.HasField("seed") else None,
        stop=tuple(sampling.stop),
        top_k=sampling.top_k if sampling.HasField("top_k") else None,
        min_p=sampling.min_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        max_reasoning_tokens=sampling.max_reasoning_tokens if sampling.HasField("max_reasoning_tokens") else None,
        top_logprobs=sampling.top_logprobs if sampling.HasField("top_logprobs") else None,
    )


def _object(text: str, field: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest({field: "is not JSON, expected an object as JSON text"}) from error
    if not isinstance(value, dict):
        raise InvalidRequest({field: "is not an object, expected an object as JSON text"})
    return value
