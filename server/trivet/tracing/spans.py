"""A receipt as spans. What is waited for before the engine begins at the request's start, one after the other; the
engine's part ends at its end: what lies between is the gateway's own time. No text, no user's id and no label of a
client's is in them.

Names after OpenTelemetry's conventions for generative AI (in development, 2026-11) and for gRPC:
https://opentelemetry.io/docs/specs/semconv/gen-ai/, https://opentelemetry.io/docs/specs/semconv/rpc/grpc/
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from trivet.types.receipt import Receipt

# Of a server, by the conventions for gRPC: the others are the client's doing.
ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
Attributes = Mapping[str, str | int | float | bool]
_MILLION = 1_000_000  # nanoseconds in a millisecond


class SpanFactory:
    """Makes the spans of requests. Its spans share a resource and a scope."""

    def __init__(self, resource: Resource, version: str) -> None:
        self._resource = resource
        self._scope = InstrumentationScope("trivet", version)

    def spans(self, receipt: Receipt) -> Iterator[ReadableSpan]:
        """Of one request that is sampled, its children first."""
        trace = int(receipt.trace_id, 16)
        root = _context(trace, secrets.randbits(64) or 1)
        started = int(receipt.created_at.timestamp() * 1e9)
        ended = started + int((receipt.total_ms or 0.0) * _MILLION)
        at = started
        for name, waited, attributes in self._waits(receipt):
            until = min(ended, at + int(waited * _MILLION))
            yield self._span(name, trace, root, at, until, attributes)
            at = until
        if receipt.output_tokens is not None and receipt.ttft_ms is not None:
            yield self._generation(receipt, trace, root, started, ended)
        parent = _context(trace, int(receipt.parent_span_id, 16), remote=True) if receipt.parent_span_id else None
        yield ReadableSpan(
            f"trivet {receipt.route}" if receipt.variant else "trivet",
            root,
            parent,
            self._resource,
            _of_request(receipt),
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR, receipt.code) if receipt.code in ERRORS else Status(),
            start_time=started,
            end_time=ended,
            instrumentation_scope=self._scope,
        )

    @staticmethod
    def _waits(receipt: Receipt) -> Iterator[tuple[str, float, Attributes]]:
        if receipt.queue_ms is not None:
            yield "admission", receipt.queue_ms, {}
        if receipt.adapter_wait_ms is not None:
            yield f"adapter {receipt.adapter}", receipt.adapter_wait_ms, {"trivet.adapter": receipt.adapter}
        if receipt.retrieval_ms is not None:
            yield f"retrieval {receipt.index}", receipt.retrieval_ms, _of_search(receipt)

    def _generation(self, receipt: Receipt, trace: int, root: SpanContext, started: int, ended: int) -> ReadableSpan:
        """The engine's part; where the engine does not tell its times it begins with what comes before it ended."""
        parts = [receipt.engine_queue_ms, receipt.prefill_ms, receipt.decode_ms]
        waited = sum(one or 0.0 for one in (receipt.queue_ms, receipt.adapter_wait_ms, receipt.retrieval_ms))
        known = all(part is not None for part in parts)
        begun = ended - int(sum(part or 0.0 for part in parts) * _MILLION) if known else started
        begun = max(begun, started + int(waited * _MILLION)) if not known else max(begun, started)
        events = [Event("first token", timestamp=started + int((receipt.ttft_ms or 0.0) * _MILLION))]
        if receipt.engine_queue_ms is not None:
            events.insert(0, Event("scheduled", timestamp=begun + int(receipt.engine_queue_ms * _MILLION)))
        return self._span(
            f"chat {receipt.backend}", trace, root, begun, ended, _of_generation(receipt), SpanKind.CLIENT, events
        )

    def _span(
        self,
        name: str,
        trace: int,
        parent: SpanContext,
        started: int,
        ended: int,
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
        events: list[Event] | None = None,
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            _context(trace, secrets.randbits(64) or 1),
            parent,
            self._resource,
            attributes,
            events or (),
            kind=kind,
            status=Status(),
            start_time=started,
            end_time=ended,
            instrumentation_scope=self._scope,
        )


def _context(trace: int, span: int, remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, remote, TraceFlags(TraceFlags.SAMPLED))


def _of_request(receipt: Receipt) -> Attributes:
    told: dict[str, str | int | float | bool | None] = {
        "rpc.response.status_code": receipt.code,
        "trivet.request_id": receipt.request_id,
        "trivet.tenant": receipt.tenant,
        "trivet.route": receipt.route if receipt.variant else None,
        "trivet.variant": receipt.variant,
        "trivet.rollout_revision": receipt.rollout_revision,
        "trivet.prompt": receipt.prompt,
        "trivet.adapter": receipt.adapter,
        "trivet.degraded": ", ".join(receipt.degraded),
        "trivet.cost_nano_usd": receipt.cost.total,
        "trivet.gateway_ms": receipt.gateway_ms,
    }
    return {name: value for name, value in told.items() if value is not None and value != ""}


def _of_search(receipt: Receipt) -> Attributes:
    return {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": receipt.index,
        "trivet.snapshot": receipt.snapshot,
        "trivet.passages": len(receipt.passage_ids),
    }


def _of_generation(receipt: Receipt) -> Attributes:
    told: dict[str, str | int | float | bool | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": receipt.adapter or receipt.backend,
        "gen_ai.usage.input_tokens": receipt.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": receipt.cached_tokens,
        "gen_ai.usage.output_tokens": receipt.output_tokens,
        "gen_ai.response.finish_reasons": None if receipt.finish_reason is None else receipt.finish_reason.value,
        "trivet.expected_cached_tokens": receipt.expected_cached_tokens,
        "trivet.shared_tokens": receipt.shared_tokens,
        "trivet.prefill_ms": receipt.prefill_ms,
        "trivet.decode_ms": receipt.decode_ms,
        "trivet.preemptions": receipt.preemptions,
        "trivet.node": receipt.node or None,
    }
    return {name: value for name, value in told.items() if value is not None}
