"""Collects what happens to one request, and closes into its receipt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trivet.metering.account.choice import ChoiceAccount
from trivet.metering.prices import Price
from trivet.metering.stages import NO_STAGES, Stage, StageClock
from trivet.types.answer import Choice
from trivet.types.generation import FinishReason
from trivet.types.receipt import Cost, Receipt, ShadowPair, UnitSource
from trivet.types.request import GenerateCall
from trivet.types.variant import Variant

SHADOW_ACCOUNT = "shadow"
ESTIMATED = "tokens_estimated"  # in `degraded`: the backend did not say how many
UNPARSED = "answer_unparsed"  # the parser of thoughts and calls was given up, the rest of the answer is text


@dataclass(slots=True)
class Account:
    """One request's account. Times are seconds of the event loop's clock; None until it happened.

    Each of its answers has an account of its own in `choices`; what the receipt tells is their sum.
    """

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
    shareable_tokens: int | None = None  # of the prompt of an activated LoRA
    rollout: str = ""
    rollout_step: int | None = None
    unit_hash: str = ""
    text_hash: str = ""
    cold: bool = False
    shadow: bool = False
    format_valid: bool | None = None
    shadow_pair: ShadowPair | None = None
    budget_warnings: tuple[str, ...] = ()
    samples: int | None = None
    agreement: float | None = None
    rewriting: ChoiceAccount | None = None  # of the question; its tokens and costs are the request's
    rewritten: bool = False
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    stages: Mapping[str, float] = field(default_factory=lambda: NO_STAGES)
    """Seconds of the gateway's own time, once the account is closed."""
    choices: tuple[ChoiceAccount, ...] = field(init=False)
    _clock: StageClock = field(init=False)

    def __post_init__(self) -> None:
        self.choices = tuple(ChoiceAccount() for _ in range(self.call.n))
        self._clock = StageClock(self.call.arrived)

    @property
    def finish(self) -> FinishReason | None:
        """How its answers ended, once all have: cut short, if one of them was."""
        ends = [choice.finish for choice in self.choices]
        if None in ends:
            return None
        cut = FinishReason.LENGTH if FinishReason.LENGTH in ends else FinishReason.STOP
        return next((end for end in ends if end not in (FinishReason.STOP, FinishReason.LENGTH)), cut)

    @property
    def token_gaps(self) -> list[tuple[float, int]]:
        """Seconds between tokens, and how many tokens each time, of all answers."""
        return [gap for choice in self.choices for gap in choice.token_gaps]

    def told(self) -> tuple[Choice, ...]:
        """The answers, once all have ended."""
        return tuple(choice.told() for choice in self.choices)

    def enter(self, stage: Stage, now: float) -> None:
        """The gateway goes on to its next stage."""
        self._clock.enter(stage, now, self._waits())

    def resolve(self, variant: Variant, revision: int, source: UnitSource) -> None:
        """The request has a variant."""
        self.variant = variant
        self.rollout_revision = revision
        self.unit_source = source

    def submit(self, now: float) -> None:
        """The request is handed to the engine: from now on its output is known to be 0 tokens."""
        self.submitted = now
        for choice in self.choices:
            choice.output_tokens = 0

    def close(self, *, code: str, now: float, price: Price | None) -> Receipt:
        """The receipt. `code` is the name of the status that the client gets; a failed call shows no passage ids."""
        call, variant = self.call, self.variant
        total = now - call.arrived
        times = self._engine_times(now)
        engine = self._engine_wait(now) if times is None else sum(times)
        tokens = {name: self._sum(name) for name in ("input_tokens", "cached_tokens", "output_tokens")}
        own = total - self._waits() - engine
        if any(part.estimated for part in self._parts):
            self.degraded.append(ESTIMATED)
        if any(choice.parser_gave_up for choice in self.choices):
            self.degraded.append(UNPARSED)
        self.stages = self._clock.close(now, self._waits(), engine)
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
            node=", ".join(dict.fromkeys(one.node for one in self.choices if one.node)),
            adapter="" if variant is None or variant.adapter is None else str(variant.adapter),
            adapter_digest=self.adapter_digest,
            prompt="" if variant is None else str(variant.prompt),
            index="" if variant is None or variant.retrieval is None else variant.retrieval.index,
            snapshot=self.snapshot,
            passage_ids=self.passage_ids if code == "OK" else (),
            finish_reason=self._finish_reason(code),
            input_tokens=tokens["input_tokens"],
            cached_tokens=tokens["cached_tokens"],
            output_tokens=tokens["output_tokens"],
            expected_cached_tokens=_sum(
                one.expected_cached_tokens for one in self._parts if one.input_tokens is not None
            ),
            shared_tokens=self._shared_tokens(),
            reasoning_tokens=self._sum("reasoning_tokens"),
            queue_ms=_ms(self.queue),
            retrieval_ms=_ms(self.retrieval),
            adapter_wait_ms=_ms(self.adapter_wait),
            ttft_ms=_ms_between(call.arrived, self._first_token()),
            engine_queue_ms=_ms(engine_queue),
            prefill_ms=_ms(prefill),
            decode_ms=_ms(decode),
            total_ms=_ms(total),
            gateway_ms=_ms(max(0.0, own)),
            preemptions=_sum(one.engine.preemptions for one in self.choices if one.engine is not None),
            cost=self._cost(price, tokens),
            prompt_token_weight=next((one.machine.prompt_weight for one in self._parts if one.machine), None),
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
            samples=self.samples,
            agreement=self.agreement if code == "OK" else None,
            rewritten=self.rewritten,
            trace_id="" if call.trace is None else call.trace.trace_id,
            parent_span_id="" if call.trace is None else call.trace.parent_id,
            trace_sampled=call.trace is not None and call.trace.sampled,
        )

    def _sum(self, name: str) -> int | None:
        return _sum(getattr(part, name) for part in self._parts)

    @property
    def _parts(self) -> tuple[ChoiceAccount, ...]:
        """All that the engine was asked for."""
        return self.choices if self.rewriting is None else (*self.choices, self.rewriting)

    def _first_token(self) -> float | None:
        return min((one.first_token for one in self.choices if one.first_token is not None), default=None)

    def _shared_tokens(self) -> int | None:
        """Cached ones that stand in blocks of the base model, though an adapter answered."""
        most = self.shareable_tokens
        if most is None:
            return None
        return _sum(min(one.cached_tokens, most) for one in self.choices if one.cached_tokens is not None)

    def _finish_reason(self, code: str) -> FinishReason:
        if code == "OK" and self.finish is not None:
            return self.finish
        return FinishReason.CANCELLED if code in {"CANCELLED", "DEADLINE_EXCEEDED"} else FinishReason.ERROR

    def _waits(self) -> float:
        """Before the hand-over: for a place, for the adapter and its slot, for passages."""
        return (self.queue or 0.0) + (self.retrieval or 0.0) + (self.adapter_wait or 0.0)

    def _engine_times(self, now: float) -> tuple[float, float, float] | None:
        """Queue, prefill and decode of the answer that took the engine longest: the others were made meanwhile."""
        wait = self._engine_wait(now)
        times = (choice.engine_times(wait) for choice in self.choices)
        return max((found for found in times if found is not None), key=sum, default=None)

    def _engine_wait(self, now: float) -> float:
        """From the hand-over to the last token; if it never came (or more was awaited), until now."""
        if self.submitted is None:
            return 0.0
        ends = [choice.last_engine_at for choice in self.choices if choice.finish is not None]
        known = [end for end in ends if end is not None]
        until = max(known) if len(known) == len(self.choices) else now
        return max(0.0, until - self.submitted)

    def agree(self, agreement: float) -> None:
        """So large a share of the answers that were drawn has the value of the one that is given."""
        self.agreement = agreement

    def _cost(self, price: Price | None, tokens: Mapping[str, int | None]) -> Cost:
        charges = [part.machine for part in self._parts if part.machine is not None]
        if charges:
            return Cost(prefill=sum(one.prefill for one in charges), decode=sum(one.decode for one in charges))
        unused = self.submitted is None and self.finish is None and self.rewriting is None
        if price is None or unused:
            return Cost()
        return price.cost(**tokens, searches=self.searches)


def _sum(counts: Iterable[int | None]) -> int | None:
    """Of those that are known; None if none is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _ms_between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else _ms(max(0.0, end - start))
