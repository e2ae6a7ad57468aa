"""The domain's answers, passages and receipts as messages of the contract."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import inference_pb2, receipt_pb2
from trivet.types.answer import Answer, Choice, RetrieveResult
from trivet.types.generation import CallDelta, FinishReason, TokenLogprob
from trivet.types.passage import Passage
from trivet.types.receipt import Receipt, UnitSource

_FINISH = {
    FinishReason.STOP: receipt_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: receipt_pb2.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: receipt_pb2.FINISH_REASON_CANCELLED,
    FinishReason.ERROR: receipt_pb2.FINISH_REASON_ERROR,
}
_UNIT_SOURCE = {
    UnitSource.REQUEST: receipt_pb2.UNIT_SOURCE_REQUEST,
    UnitSource.RANDOM: receipt_pb2.UNIT_SOURCE_RANDOM,
    UnitSource.HOLDOUT: receipt_pb2.UNIT_SOURCE_HOLDOUT,
    UnitSource.FORCED: receipt_pb2.UNIT_SOURCE_FORCED,
}
_OPTIONAL_FIELDS = (
    "input_tokens",
    "cached_tokens",
    "expected_cached_tokens",
    "shared_tokens",
    "output_tokens",
    "reasoning_tokens",
    "queue_ms",
    "retrieval_ms",
    "adapter_wait_ms",
    "ttft_ms",
    "engine_queue_ms",
    "prefill_ms",
    "decode_ms",
    "total_ms",
    "gateway_ms",
    "preemptions",
    "retrieval_confidence",
    "rollout_step",
    "format_valid",
    "prompt_token_weight",
    "samples",
    "agreement",
)


def citation_to_proto(passage: Passage) -> inference_pb2.Citation:
    """One passage that was given to the model."""
    return inference_pb2.Citation(
        document_id=passage.document_id,
        title=passage.title,
        score=passage.score,
        revision=passage.revision,
        passage_id=passage.id,
        text=passage.text,
        start=passage.start,
        end=passage.end,
        similarity=passage.similarity,
        place=passage.place,
        near=passage.near,
    )


def search_to_proto(found: RetrieveResult) -> inference_pb2.RetrieveResponse:
    """What a search without a generation found."""
    return inference_pb2.RetrieveResponse(
        citations=[citation_to_proto(passage) for passage in found.passages],
        index=found.index,
        snapshot=found.snapshot,
        retrieval_ms=found.retrieval_ms,
        retrieval_confidence=found.confidence,
        degraded=found.degraded,
    )


def answer_to_proto(answer: Answer, with_logprobs: bool = True) -> inference_pb2.GenerateResponse:
    """All of it."""
    first, *others = [_choice_to_proto(choice, with_logprobs) for choice in answer.choices]
    return inference_pb2.GenerateResponse(
        text=first.text,
        finish_reason=first.finish_reason,
        citations=[citation_to_proto(passage) for passage in answer.passages],
        receipt=receipt_to_proto(answer.receipt),
        reasoning=first.reasoning,
        tool_calls=first.tool_calls,
        logprobs=first.logprobs,
        more_choices=others,
    )


def _choice_to_proto(choice: Choice, with_logprobs: bool) -> inference_pb2.Choice:
    return inference_pb2.Choice(
        text=choice.text,
        finish_reason=_FINISH[choice.finish],
        reasoning=choice.reasoning,
        tool_calls=[
            inference_pb2.ToolCall(id=call.id, name=call.name, arguments=call.arguments) for call in choice.tool_calls
        ],
        logprobs=[logprob_to_proto(one) for one in choice.logprobs] if with_logprobs else (),
    )


def call_delta_to_proto(delta: CallDelta) -> inference_pb2.ToolCallDelta:
    """Some more of a call."""
    return inference_pb2.ToolCallDelta(index=delta.index, id=delta.id, name=delta.name, arguments=delta.arguments)


def logprob_to_proto(token: TokenLogprob) -> inference_pb2.TokenLogprob:
    """One token's."""
    return inference_pb2.TokenLogprob(
        written=inference_pb2.Logprob(token=token.written.token, logprob=token.written.logprob),
        top=[inference_pb2.Logprob(token=one.token, logprob=one.logprob) for one in token.top],
    )


def receipt_to_proto(receipt: Receipt) -> receipt_pb2.Receipt:
    """A receipt; what is not known stays absent."""
    created = Timestamp()
    created.FromDatetime(receipt.created_at)
    proto = receipt_pb2.Receipt(
        request_id=receipt.request_id,
        tenant=receipt.tenant,
        route=receipt.route,
        variant=receipt.variant,
        rollout_revision=receipt.rollout_revision,
        backend=receipt.backend,
        node=receipt.node,
        adapter=receipt.adapter,
        adapter_digest=receipt.adapter_digest,
        prompt=receipt.prompt,
        index=receipt.index,
        use=receipt.use,
        rewritten=receipt.rewritten,
        snapshot=receipt.snapshot,
        passage_ids=receipt.passage_ids,
        code=receipt.code,
        degraded=receipt.degraded,
        example_ids=receipt.example_ids,
        budget_warnings=receipt.budget_warnings,
        created_at=created,
        rollout=receipt.rollout,
        unit_hash=receipt.unit_hash,
        text_hash=receipt.text_hash,
        cold=receipt.cold,
        shadow=receipt.shadow,
        trace_id=receipt.trace_id,
        cost=receipt_pb2.Cost(
            input=receipt.cost.input,
            cached=receipt.cost.cached,
            output=receipt.cost.output,
            retrieval=receipt.cost.retrieval,
            prefill=receipt.cost.prefill,
            decode=receipt.cost.decode,
            basis=receipt.cost.basis,
            total=receipt.cost.total,
        ),
    )
    if receipt.unit_source is not None:
        proto.unit_source = _UNIT_SOURCE[receipt.unit_source]
    if receipt.finish_reason is not None:
        proto.finish_reason = _FINISH[receipt.finish_reason]
    for name in _OPTIONAL_FIELDS:
        value = getattr(receipt, name)
        if value is not None:
            setattr(proto, name, value)
    return proto
