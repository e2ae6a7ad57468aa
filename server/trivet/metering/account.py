"""Collects what happens to one request, and closes into its receipt."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from trivet.metering.prices import Price
from trivet.types.generation import Chunk, EngineTimes, FinishReason, MachineCharge, RequestedCall
from trivet.types.receipt import Cost, Receipt, ShadowPair, UnitSource
from trivet.types.request import GenerateCall
from trivet.types.variant import Variant

SHADOW_ACCOUNT = "shadow"


@dataclass(slots=True)
class Account:
    """One request's account. Times are seconds of the event loop's clock; None until it happened."""

    call: GenerateCall
    variant: Variant | None = None
    rollout_revision: int = 0
    unit_source: UnitSource | None = None
    adapter_digest: str = ""
    snapshot: str = ""
    passage_ids: tuple[str, ...] = ()
    example_ids: tuple[str, ...] = ()
    retrieval_confidence: float | None = None
    degraded: list[str] = field(default_factory=list)
    queue: float | None = None
    retrieval: float | None = None
    adapter_wait: float | None = None
    searches: int = 0
    submitted: float | None = None
    first_token: float | None = None
    last_engine_at: float | None = None
    engine: EngineTimes | None = None
    machine: MachineCharge | None = None
    engine_ended: bool = False  # it has given all that it had, read or not
    input_tokens: int | None = None
    cached_tokens: int | None = None
    expected_cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    reasoning: list[str] = field(default_factory=list)
    tool_calls: tuple[RequestedCall, ...] = ()
    finish: FinishReason | None = None
    rollout: str = ""
    rollout_step: int | None = None
    unit_hash: str = ""
    text_hash: str = ""
    cold: bool = False
    shadow: bool = False
    format_valid: bool | None = None
    shadow_pair: ShadowPair | None = None
    token_gaps: list[tuple[float, int]] = field(default_factory=list)
    budget_warnings: tuple[str, ...] = ()
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def resolve(self, variant: Variant, revision: int, source: UnitSource) -> None:
        """The request has a variant."""
        self.variant = variant
        self.rollout_revision = revision
        self.unit_source = source

    def submit(self, now: float) -> None:
        """The request is handed to the engine: from now on its output is known to be 0 tokens."""
        self.submitted = now
        self.output_tokens = 0

    def decline(self) -> None:
        """It is answered without the engine, with the text of the configuration: no token goes in or comes out."""
        self.finish = FinishReason.STOP
        self.input_tokens = self.cached_tokens = self.output_tokens = 0

    def add_unread(self, chunk: Chunk) -> None:
        """Count what the engine had handed over when the reader left."""
        self.output_tokens = (self.output_tokens or 0) + chunk.tokens
        self._take_times(chunk)
        self._count_input(chunk)

    def add(self, chunk: Chunk, now: float) -> None:
        """Count one chunk that the engine handed over."""
        if chunk.tokens:
            if self.first_token is None:
                self.first_token = now
            elif self.last_engine_at is not None:
                self.token_gaps.append((self._gap(chunk, self.last_engine_at), chunk.tokens))
            self.last_engine_at = chunk.engine_at
            self.output_tokens = (self.output_tokens or 0) + chunk.tokens
        self._take_times(chunk)
        self._count_input(chunk)
        if chunk.reasoning:
            self.reasoning.append(chunk.reasoning)
        if chunk.finish is not None:
            self.finish = chunk.finish
            self.reasoning_tokens, self.tool_calls = chunk.reasoning_tokens, chunk.tool_calls

    def _take_times(self, chunk: Chunk) -> None:
        self.engine = chunk.times or self.engine
        self.engine_ended = chunk.finish is not None

    def _gap(self, chunk: Chunk, last_engine_at: float) -> float:
        """Seconds since the token before this chunk's: by the engine's clock, else as the event loop saw them come."""
        if chunk.times is not None and self.engine is not None:
            return max(0.0, chunk.times.decode - self.engine.decode)
        return max(0.0, chunk.engine_at - last_engine_at)

    def _count_input(self, chunk: Chunk) -> None:
        """Known, and charged, once the engine has computed it: its first token says so."""
        if chunk.input_tokens is not None:
            self.input_tokens = chunk.input_tokens
        if chunk.cached_tokens is not None:
            self.cached_tokens = chunk.cached_tokens

    def close(self, *, code: str, now: float, price: Price | None) -> Receipt:
        """The receipt. `code` is the name of the status that the client gets; a failed call shows no passage ids."""
        call, variant = self.call, self.variant
        total = now - call.arrived
        times = self._engine_times(now)
        own = total - self._waits() - (self._engine_wait(now) if times is None else sum(times))
        engine_queue, prefill, decode = times or (None, None, None)
        return Receipt(
            request_id=call.request_id,
            tenant=call.tenant,
            route=call.route,
            created_at=self.created_at,
            code=code,
            variant="" if variant is None else variant.name,
            rollout_revision=self.rollout_revision,
            unit_source=self.unit_source,
            backend="" if variant is None else variant.backend,
            adapter="" if variant is None or variant.adapter is None else str(variant.adapter),
            adapter_digest=self.adapter_digest,
            prompt="" if variant is None else str(variant.prompt),
            index="" if variant is None or variant.retrieval is None else variant.retrieval.index,
            snapshot=self.snapshot,
            passage_ids=self.passage_ids if code == "OK" else (),
            finish_reason=self._finish_reason(code),
            input_tokens=self.input_tokens,
            cached_tokens=self.cached_tokens,
            expected_cached_tokens=None if self.input_tokens is None else self.expected_cached_tokens,
            output_tokens=self.output_tokens,
            reasoning_tokens=self.reasoning_tokens,
            queue_ms=_ms(self.queue),
            retrieval_ms=_ms(self.retrieval),
            adapter_wait_ms=_ms(self.adapter_wait),
            ttft_ms=_ms_between(call.arrived, self.first_token),
            engine_queue_ms=_ms(engine_queue),
            prefill_ms=_ms(prefill),
            decode_ms=_ms(decode),
            total_ms=_ms(total),
            gateway_ms=_ms(max(0.0, own)),
            preemptions=None if self.engine is None else self.engine.preemptions,
            cost=self._cost(price),
            degraded=tuple(self.degraded),
            retrieval_confidence=self.retrieval_confidence,
            example_ids=self.example_ids if code == "OK" else (),
            labels=dict(call.labels),
            rollout=self.rollout,
            rollout_step=self.rollout_step,
            unit_hash=self.unit_hash,
            text_hash=self.text_hash,
            cold=self.cold or bool(_ms(self.adapter_wait)),
            shadow=self.shadow,
            format_valid=self.format_valid if code == "OK" else None,
            shadow_pair=self.shadow_pair,
            account=SHADOW_ACCOUNT if self.shadow else "",
            budget_warnings=self.budget_warnings,
            trace_id="" if call.trace is None else call.trace.trace_id,
            parent_span_id="" if call.trace is None else call.trace.parent_id,
            trace_sampled=call.trace is not None and call.trace.sampled,
        )

    def _finish_reason(self, code: str) -> FinishReason:
        if code == "OK" and self.finish is not None:
            return self.finish
        return FinishReason.CANCELLED if code in {"CANCELLED", "DEADLINE_EXCEEDED"} else FinishReason.ERROR

    def _waits(self) -> float:
        """Before the hand-over: for a place, for the adapter and its slot, for passages."""
        return (self.queue or 0.0) + (self.retrieval or 0.0) + (self.adapter_wait or 0.0)

    def _engine_times(self, now: float) -> tuple[float, float, float] | None:
        """Queue, prefill and decode, as the engine says; a decode that was cut short lasted until it was cut."""
        if self.engine is None:
            return None
        queue, prefill, decode = self.engine.queue, self.engine.prefill, self.engine.decode
        if not self.engine_ended:
            decode = max(decode, self._engine_wait(now) - queue - prefill)
        return queue, prefill, decode

    def _engine_wait(self, now: float) -> float:
        """From the hand-over to the last token; if it never came (or more was awaited), until now."""
        if self.submitted is None:
            return 0.0
        until = self.last_engine_at if self.finish is not None and self.last_engine_at is not None else now
        return max(0.0, until - self.submitted)

    def charge_time(self, charge: MachineCharge) -> None:
        """What the engine's machine took for it costs."""
        self.machine = charge

    def _cost(self, price: Price | None) -> Cost:
        if self.machine is not None:
            return Cost(prefill=self.machine.prefill, decode=self.machine.decode)
        if price is None or (self.submitted is None and self.finish is None):
            return Cost()
        return price.cost(
            input_tokens=self.input_tokens,
            cached_tokens=self.cached_tokens,
            output_tokens=self.output_tokens,
            searches=self.searches,
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _ms_between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else _ms(max(0.0, end - start))
