import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_CANCELLED: _ClassVar[FinishReason]
    FINISH_REASON_ERROR: _ClassVar[FinishReason]

class UnitSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_SOURCE_UNSPECIFIED: _ClassVar[UnitSource]
    UNIT_SOURCE_REQUEST: _ClassVar[UnitSource]
    UNIT_SOURCE_RANDOM: _ClassVar[UnitSource]
    UNIT_SOURCE_HOLDOUT: _ClassVar[UnitSource]
    UNIT_SOURCE_FORCED: _ClassVar[UnitSource]
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_CANCELLED: FinishReason
FINISH_REASON_ERROR: FinishReason
UNIT_SOURCE_UNSPECIFIED: UnitSource
UNIT_SOURCE_REQUEST: UnitSource
UNIT_SOURCE_RANDOM: UnitSource
UNIT_SOURCE_HOLDOUT: UnitSource
UNIT_SOURCE_FORCED: UnitSource

class Receipt(_message.Message):
    __slots__ = ("request_id", "tenant", "route", "variant", "rollout_revision", "unit_source", "backend", "node", "adapter", "adapter_digest", "prompt", "index", "snapshot", "passage_ids", "finish_reason", "code", "input_tokens", "cached_tokens", "expected_cached_tokens", "output_tokens", "reasoning_tokens", "queue_ms", "retrieval_ms", "ttft_ms", "prefill_ms", "decode_ms", "total_ms", "gateway_ms", "cost", "degraded", "created_at", "retrieval_confidence", "example_ids", "adapter_wait_ms", "rollout", "rollout_step", "unit_hash", "text_hash", "cold", "shadow", "format_valid", "engine_queue_ms", "preemptions", "budget_warnings", "trace_id", "prompt_token_weight", "shared_tokens", "samples", "agreement", "use", "rewritten")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_REVISION_FIELD_NUMBER: _ClassVar[int]
    UNIT_SOURCE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_IDS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_MS_FIELD_NUMBER: _ClassVar[int]
    TTFT_MS_FIELD_NUMBER: _ClassVar[int]
    PREFILL_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_MS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_IDS_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_STEP_FIELD_NUMBER: _ClassVar[int]
    UNIT_HASH_FIELD_NUMBER: _ClassVar[int]
    TEXT_HASH_FIELD_NUMBER: _ClassVar[int]
    COLD_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    FORMAT_VALID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SHARED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    REWRITTEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    tenant: str
    route: str
    variant: str
    rollout_revision: int
    unit_source: UnitSource
    backend: str
    node: str
    adapter: str
    adapter_digest: str
    prompt: str
    index: str
    snapshot: str
    passage_ids: _containers.RepeatedScalarFieldContainer[str]
    finish_reason: FinishReason
    code: str
    input_tokens: int
    cached_tokens: int
    expected_cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    queue_ms: float
    retrieval_ms: float
    ttft_ms: float
    prefill_ms: float
    decode_ms: float
    total_ms: float
    gateway_ms: float
    cost: Cost
    degraded: _containers.RepeatedScalarFieldContainer[str]
    created_at: _timestamp_pb2.Timestamp
    retrieval_confidence: float
    example_ids: _containers.RepeatedScalarFieldContainer[str]
    adapter_wait_ms: float
    rollout: str
    rollout_step: int
    unit_hash: str
    text_hash: str
    cold: bool
    shadow: bool
    format_valid: bool
    engine_queue_ms: float
    preemptions: int
    budget_warnings: _containers.RepeatedScalarFieldContainer[str]
    trace_id: str
    prompt_token_weight: float
    shared_tokens: int
    samples: int
    agreement: float
    use: str
    rewritten: bool
    def __init__(self, request_id: _Optional[str] = ..., tenant: _Optional[str] = ..., route: _Optional[str] = ..., variant: _Optional[str] = ..., rollout_revision: _Optional[int] = ..., unit_source: _Optional[_Union[UnitSource, str]] = ..., backend: _Optional[str] = ..., node: _Optional[str] = ..., adapter: _Optional[str] = ..., adapter_digest: _Optional[str] = ..., prompt: _Optional[str] = ..., index: _Optional[str] = ..., snapshot: _Optional[str] = ..., passage_ids: _Optional[_Iterable[str]] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., code: _Optional[str] = ..., input_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., expected_cached_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., queue_ms: _Optional[float] = ..., retrieval_ms: _Optional[float] = ..., ttft_ms: _Optional[float] = ..., prefill_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., gateway_ms: _Optional[float] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., degraded: _Optional[_Iterable[str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., retrieval_confidence: _Optional[float] = ..., example_ids: _Optional[_Iterable[str]] = ..., adapter_wait_ms: _Optional[float] = ..., rollout: _Optional[str] = ..., rollout_step: _Optional[int] = ..., unit_hash: _Optional[str] = ..., text_hash: _Optional[str] = ..., cold: _Optional[bool] = ..., shadow: _Optional[bool] = ..., format_valid: _Optional[bool] = ..., engine_queue_ms: _Optional[float] = ..., preemptions: _Optional[int] = ..., budget_warnings: _Optional[_Iterable[str]] = ..., trace_id: _Optional[str] = ..., prompt_token_weight: _Optional[float] = ..., shared_tokens: _Optional[int] = ..., samples: _Optional[int] = ..., agreement: _Optional[float] = ..., use: _Optional[str] = ..., rewritten: _Optional[bool] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("input", "cached", "output", "retrieval", "total", "prefill", "decode", "basis")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PREFILL_FIELD_NUMBER: _ClassVar[int]
    DECODE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    input: int
    cached: int
    output: int
    retrieval: int
    total: int
    prefill: int
    decode: int
    basis: str
    def __init__(self, input: _Optional[int] = ..., cached: _Optional[int] = ..., output: _Optional[int] = ..., retrieval: _Optional[int] = ..., total: _Optional[int] = ..., prefill: _Optional[int] = ..., decode: _Optional[int] = ..., basis: _Optional[str] = ...) -> None: ...
