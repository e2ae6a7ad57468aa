"""The account of one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from trivet.types.generation import FinishReason


class UnitSource(Enum):
    """How the unit was found that sticks to a variant."""

    REQUEST = "request"
    RANDOM = "random"
    """None was given: drawn for this request alone."""
    HOLDOUT = "holdout"
    """Kept on the stable variant while a rollout runs."""
    FORCED = "forced"
    """A tester chose the variant."""


COMPONENTS = ("input", "cached", "output", "retrieval", "prefill", "decode")  # of a cost


@dataclass(frozen=True, slots=True)
class Cost:
    """Nano-USD (1e-9 USD). A part is None where it is not known; `total` is the sum of the known parts.

    By tokens: `input` (not cached), `cached`, `output`. By the machine's time: `prefill`, `decode`.
    """

    input: int | None = None
    cached: int | None = None
    output: int | None = None
    retrieval: int | None = None
    prefill: int | None = None
    decode: int | None = None

    @property
    def parts(self) -> dict[str, int]:
        """The known ones, by name."""
        found = ((name, getattr(self, name)) for name in COMPONENTS)
        return {name: value for name, value in found if value is not None}

    @property
    def total(self) -> int | None:
        """Sum of the parts; None if no part is known."""
        return sum(parts.values()) if (parts := self.parts) else None

    @property
    def basis(self) -> str:
        """What it was charged by: `tokens`, `machine`, or empty where nothing is known."""
        if self.prefill is not None or self.decode is not None:
            return "machine"
        return "tokens" if self.parts else ""


@dataclass(frozen=True, slots=True)
class ShadowPair:
    """What a shadow's answer is compared with: the answer that the client got.

    `request_id`, `format_valid` and `degraded`: of the request that was copied. `equal`: both texts are the same.
    `length_ratio`: the shorter text's characters over the longer one's; 0 for a copy that failed. `agreement`: all of
    it as one number from 0 to 1, by `trivet.rollouts.agreement`.
    """

    request_id: str
    equal: bool
    length_ratio: float
    agreement: float
    format_valid: bool | None = None
    degraded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What served one request, what it took and what it cost. None is unknown, never 0. Times in milliseconds.

    `use`: "embed" or "rerank" for texts that were given to a model of the `index`, of no route; empty for answers.
    `node`: the engine node of a fleet that answered, or was asked last; empty without a fleet. `shared_tokens` are
    those of `cached_tokens` that an activated LoRA shares with the base model and its other adapters: a plain adapter
    would have had to compute them once more for itself. Absent for all others. `reasoning_tokens` are those of
    `output_tokens` that were thought, where a parser tells them apart.
    `queue_ms`: for a place among the requests that run. `adapter_wait_ms`: until the adapter was in the engine again,
    if it had given way to others, and for a slot; absent where none is used. `engine_queue_ms`, `prefill_ms`,
    `decode_ms` and `preemptions` are the engine's own (see `EngineTimes`): absent where it does not tell them, and
    before its first token; a decode that was cut short lasts until it was cut. `gateway_ms` is what the others leave
    of the total. `retrieval_confidence`: the best
    passage's score by the reranker where there was one, else its similarity. `rollout_step`: -1 before the first one.
    `unit_hash` and `text_hash` are salted, for those who compare requests. `cold`: one of the first of its variant
    after a warm-up, or one that waited for its adapter. `shadow`: a copy, nobody saw the answer. `shadow_pair`: of a
    shadow that was compared. `account`: who bears the cost, if it is not the tenant. `budget_warnings`: limits that
    were nearly used up when it came. `prompt_token_weight`: by which a machine's time was charged. `trace_id`,
    `samples`: how many answers were drawn, all of whose tokens and costs are in here, and `agreement`, what share of
    them has the value of the one that was given; absent where one was asked for.
    `rewritten`: the question was searched with as a model wrote it anew; the tokens of that are in here.
    `parent_span_id`, `trace_sampled`: see `trivet.types.request.TraceContext`.
    """

    request_id: str
    tenant: str
    route: str
    created_at: datetime
    code: str
    variant: str = ""
    rollout_revision: int = 0
    unit_source: UnitSource | None = None
    backend: str = ""
    node: str = ""
    adapter: str = ""
    adapter_digest: str = ""
    prompt: str = ""
    index: str = ""
    snapshot: str = ""
    passage_ids: tuple[str, ...] = ()
    finish_reason: FinishReason | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    expected_cached_tokens: int | None = None
    shared_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    queue_ms: float | None = None
    retrieval_ms: float | None = None
    adapter_wait_ms: float | None = None
    ttft_ms: float | None = None
    engine_queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    total_ms: float | None = None
    gateway_ms: float | None = None
    preemptions: int | None = None
    cost: Cost = Cost()
    degraded: tuple[str, ...] = ()
    retrieval_confidence: float | None = None
    example_ids: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    rollout: str = ""
    rollout_step: int | None = None
    unit_hash: str = ""
    text_hash: str = ""
    cold: bool = False
    shadow: bool = False
    format_valid: bool | None = None
    shadow_pair: ShadowPair | None = None
    account: str = ""
    budget_warnings: tuple[str, ...] = ()
    trace_id: str = ""
    parent_span_id: str = ""
    trace_sampled: bool = False
    prompt_token_weight: float | None = None
    samples: int | None = None
    agreement: float | None = None
    use: str = ""
    rewritten: bool = False
