"""Requests of the contract as the domain's calls. Everything that comes in is checked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trivet.api.v1 import inference_pb2
from trivet.errors import InvalidRequest, PermissionDenied, Problems
from trivet.rpc.messages.bounds import METADATA
from trivet.rpc.request.conversation import conversation_of, template_variables_of, tools_of
from trivet.rpc.request.fields import where_of
from trivet.rpc.request.json_schema import schema_from_struct
from trivet.rpc.request.tool_choice import offered_tools, required_calls_of
from trivet.schemas.check import schema_problems
from trivet.schemas.limits import DEFAULT_LIMITS, SchemaLimits
from trivet.types.answer import RetrieveCall
from trivet.types.passage import Expansion
from trivet.types.request import Caller, GenerateCall, KeyRole, RetrievalOptions, TraceContext
from trivet.types.rollout_state import Feedback
from trivet.types.variant import MOST_GATHERED_MS, MOST_GATHERED_TOKENS

MAX_TOP_K = 100
MOST_TOP_LOGPROBS = 20
MOST_CHOICES = 8  # answers of one request
MOST_THOUGHT = 1_000_000  # tokens: more than a model's context
DEFAULT_PRIORITY = 5
LOWEST_PRIORITY = 9

EXPANSIONS: Mapping[int, Expansion] = {
    inference_pb2.EXPAND_NONE: Expansion.NONE,
    inference_pb2.EXPAND_NEIGHBOURS: Expansion.NEIGHBOURS,
    inference_pb2.EXPAND_SECTION: Expansion.SECTION,
    inference_pb2.EXPAND_DOCUMENT: Expansion.DOCUMENT,
}
_SAMPLING: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "max_tokens": (lambda value: value >= 1, "at least 1"),
    "temperature": (lambda value: 0 <= value <= 2, "0 to 2"),
    "seed": (lambda value: value >= 0, "at least 0"),
    "top_p": (lambda value: 0 < value <= 1, "more than 0, at most 1"),
    "top_k": (lambda value: value >= 1, "at least 1"),
    "min_p": (lambda value: 0 <= value <= 1, "0 to 1"),
    "presence_penalty": (lambda value: -2 <= value <= 2, "-2 to 2"),
    "frequency_penalty": (lambda value: -2 <= value <= 2, "-2 to 2"),
    "max_reasoning_tokens": (lambda value: 0 <= value <= MOST_THOUGHT, f"0 to {MOST_THOUGHT:,}"),
    "top_logprobs": (lambda value: 0 <= value <= MOST_TOP_LOGPROBS, f"0 to {MOST_TOP_LOGPROBS}"),
    "repetition_penalty": (lambda value: 0.01 <= value <= 2, "0.01 to 2"),
    "n": (lambda value: 1 <= value <= MOST_CHOICES, f"1 to {MOST_CHOICES}"),
}
"""What a request may say of how answers are drawn, and within which bounds."""


def priority_of(metadata: str | None) -> int:
    """`x-trivet-priority`: 0 (first) to 9 (last), 5 if absent."""
    if metadata is None:
        return DEFAULT_PRIORITY
    if len(metadata) > METADATA["x-trivet-priority"] or not (metadata.isascii() and metadata.isdigit()):
        raise InvalidRequest({"x-trivet-priority": f"expected a number from 0 to {LOWEST_PRIORITY}"})
    return int(metadata)


def variant_of(metadata: str | None, caller: Caller) -> str:
    """`x-trivet-variant`: the variant that a tester or an operator chooses; empty if absent.

    Raises PermissionDenied for anybody else.
    """
    if not metadata:
        return ""
    if caller.role is not KeyRole.OPERATOR and not caller.tester:
        raise PermissionDenied("x-trivet-variant needs an operator's key, or one with `tester: true`")
    if len(metadata) > METADATA["x-trivet-variant"]:
        raise InvalidRequest({"x-trivet-variant": f"expected at most {METADATA['x-trivet-variant']} characters"})
    return metadata


def generate_call(
    request: inference_pb2.GenerateRequest,
    *,
    request_id: str,
    caller: Caller,
    arrived: float,
    deadline: float | None,
    priority: int,
    forced_variant: str = "",
    schema_limits: SchemaLimits = DEFAULT_LIMITS,
    ordered_schema: Mapping[str, Any] | None = None,
    trace: TraceContext | None = None,
) -> GenerateCall:
    """Check a request; InvalidRequest names every field that is wrong. `ordered_schema` stands for the message's."""
    problems = Problems()
    problems.expect(bool(request.route), "route", "is empty")
    messages = conversation_of(request, problems)
    tools = offered_tools(request, tools_of(request.tools, problems))
    required_calls = required_calls_of(request, tools, problems, schema_limits)
    template_variables = template_variables_of(request, problems)
    _check_sampling(request, problems)
    retrieval = request.retrieval
    top_k = retrieval.top_k if retrieval.HasField("top_k") else None
    problems.expect(top_k is None or 1 <= top_k <= MAX_TOP_K, "retrieval.top_k", f"expected 1 to {MAX_TOP_K}")
    expansion = _expansion(retrieval.expand, "retrieval.expand", problems)
    schema = _schema(request, ordered_schema, problems, schema_limits)
    stream_tokens, stream_ms = _pace(request.stream, problems)
    where = where_of(retrieval, problems, "retrieval.where")
    problems.refuse()
    return GenerateCall(
        request_id=request_id,
        tenant=caller.tenant,
        key=caller.key,
        route=request.route,
        messages=messages,
        arrived=arrived,
        deadline=deadline,
        unit_id=request.unit_id,
        variables=dict(request.variables),
        json_schema=schema,
        stop=tuple(request.stop),
        labels=dict(request.labels),
        retrieval=RetrievalOptions(
            top_k, tuple(retrieval.filter), retrieval.disabled, expansion=expansion, where=where
        ),
        priority=priority,
        forced_variant=forced_variant,
        trace=trace,
        template_variables=template_variables,
        tools=tools,
        required_calls=required_calls,
        single_call=request.single_tool_call,
        adapter=request.adapter,
        raw=bool(request.prompt),
        stream_max_tokens=stream_tokens,
        stream_max_ms=stream_ms,
        **{name: getattr(request, name) for name in _SAMPLING if request.HasField(name)},
    )


def retrieve_call(
    request: inference_pb2.RetrieveRequest, *, request_id: str, tenant: str, arrived: float, deadline: float | None
) -> RetrieveCall:
    """Check a request; InvalidRequest names every field that is wrong."""
    problems = Problems()
    problems.expect(bool(request.route) != bool(request.index), "route", "expected either a route or an index")
    problems.expect(bool(request.text.strip()), "text", "is empty")
    for number, text in enumerate(request.more_texts):
        problems.expect(bool(text.strip()), f"more_texts[{number}]", "is empty")
    top_k = request.top_k if request.HasField("top_k") else None
    problems.expect(top_k is None or 1 <= top_k <= MAX_TOP_K, "top_k", f"expected 1 to {MAX_TOP_K}")
    expansion = _expansion(request.expand, "expand", problems)
    where = where_of(request, problems)
    problems.refuse()
    return RetrieveCall(
        request_id=request_id,
        tenant=tenant,
        route=request.route,
        text=request.text,
        arrived=arrived,
        deadline=deadline,
        unit_id=request.unit_id,
        top_k=top_k,
        tags=tuple(request.filter),
        index=request.index,
        expansion=expansion,
        where=where,
        more=tuple(request.more_texts),
    )


def _expansion(value: int, field: str, problems: Problems) -> Expansion | None:
    """None where the variant decides."""
    known = value == inference_pb2.EXPAND_UNSPECIFIED or value in EXPANSIONS
    problems.expect(known, field, f"expected a value of Expand, got {value}")
    return EXPANSIONS.get(value)


def feedback_of(request: inference_pb2.SubmitFeedbackRequest, tenant: str) -> Feedback:
    """Raises InvalidRequest for a score out of its range, and for a request that says nothing."""
    problems = Problems()
    score = request.score if request.HasField("score") else None
    problems.expect(bool(request.request_id), "request_id", "is empty")
    scored = score is None or 0 <= score <= 1
    problems.expect(scored, "score", f"expected a number from 0 (bad) to 1 (good), got {score}")
    said = score is not None or request.label or request.corrected_text or request.comment
    problems.expect(bool(said), "score", "expected a score, a label, a corrected text or a comment, got none of them")
    problems.refuse()
    return Feedback(tenant, request.request_id, score, request.label, request.corrected_text, request.comment)


def _check_sampling(request: inference_pb2.GenerateRequest, problems: Problems) -> None:
    for name, (within, expected) in _SAMPLING.items():
        if request.HasField(name):
            problems.expect(within(getattr(request, name)), name, f"expected {expected}")
    problems.expect(all(request.stop), "stop", "an empty stop string would stop at once")


def _pace(stream: inference_pb2.StreamOptions, problems: Problems) -> tuple[int | None, float | None]:
    tokens = stream.max_tokens if stream.HasField("max_tokens") else None
    ms = stream.max_ms if stream.HasField("max_ms") else None
    fits = tokens is None or 1 <= tokens <= MOST_GATHERED_TOKENS
    problems.expect(fits, "stream.max_tokens", f"expected 1 to {MOST_GATHERED_TOKENS:,}")
    problems.expect(
        ms is None or 0 <= ms <= MOST_GATHERED_MS, "stream.max_ms", f"expected 0 to {MOST_GATHERED_MS:,.0f}"
    )
    return tokens, ms


def _schema(
    request: inference_pb2.GenerateRequest,
    ordered: Mapping[str, Any] | None,
    problems: Problems,
    limits: SchemaLimits,
) -> dict[str, Any] | None:
    if ordered is None and not request.HasField("json_schema"):
        return None
    schema = schema_from_struct(request.json_schema) if ordered is None else dict(ordered)
    problems.expect(bool(schema), "json_schema", "is empty, expected a JSON schema")
    wrong = "; ".join(f"at {problem}" for problem in schema_problems(schema, limits))
    problems.expect(not wrong, "json_schema", wrong)
    return schema
