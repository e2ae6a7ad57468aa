import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RolloutState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_STATE_UNSPECIFIED: _ClassVar[RolloutState]
    ROLLOUT_STATE_PENDING: _ClassVar[RolloutState]
    ROLLOUT_STATE_WARMING: _ClassVar[RolloutState]
    ROLLOUT_STATE_SHADOW: _ClassVar[RolloutState]
    ROLLOUT_STATE_CANARY: _ClassVar[RolloutState]
    ROLLOUT_STATE_AWAITING_APPROVAL: _ClassVar[RolloutState]
    ROLLOUT_STATE_HALTED: _ClassVar[RolloutState]
    ROLLOUT_STATE_SOAKING: _ClassVar[RolloutState]
    ROLLOUT_STATE_PROMOTED: _ClassVar[RolloutState]
    ROLLOUT_STATE_ROLLED_BACK: _ClassVar[RolloutState]
    ROLLOUT_STATE_CANCELLED: _ClassVar[RolloutState]
ROLLOUT_STATE_UNSPECIFIED: RolloutState
ROLLOUT_STATE_PENDING: RolloutState
ROLLOUT_STATE_WARMING: RolloutState
ROLLOUT_STATE_SHADOW: RolloutState
ROLLOUT_STATE_CANARY: RolloutState
ROLLOUT_STATE_AWAITING_APPROVAL: RolloutState
ROLLOUT_STATE_HALTED: RolloutState
ROLLOUT_STATE_SOAKING: RolloutState
ROLLOUT_STATE_PROMOTED: RolloutState
ROLLOUT_STATE_ROLLED_BACK: RolloutState
ROLLOUT_STATE_CANCELLED: RolloutState

class Rollout(_message.Message):
    __slots__ = ("id", "route", "spec", "spec_digest", "state", "step", "share", "revision", "created_at", "changed_at", "judged_since", "last_transition", "look", "gateways", "store_staleness_seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SPEC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    JUDGED_SINCE_FIELD_NUMBER: _ClassVar[int]
    LAST_TRANSITION_FIELD_NUMBER: _ClassVar[int]
    LOOK_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    STORE_STALENESS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    route: str
    spec: RolloutSpec
    spec_digest: str
    state: RolloutState
    step: int
    share: float
    revision: int
    created_at: _timestamp_pb2.Timestamp
    changed_at: _timestamp_pb2.Timestamp
    judged_since: _timestamp_pb2.Timestamp
    last_transition: RolloutTransition
    look: RolloutLook
    gateways: _containers.RepeatedCompositeFieldContainer[RolloutGateway]
    store_staleness_seconds: float
    def __init__(self, id: _Optional[str] = ..., route: _Optional[str] = ..., spec: _Optional[_Union[RolloutSpec, _Mapping]] = ..., spec_digest: _Optional[str] = ..., state: _Optional[_Union[RolloutState, str]] = ..., step: _Optional[int] = ..., share: _Optional[float] = ..., revision: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., judged_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_transition: _Optional[_Union[RolloutTransition, _Mapping]] = ..., look: _Optional[_Union[RolloutLook, _Mapping]] = ..., gateways: _Optional[_Iterable[_Union[RolloutGateway, _Mapping]]] = ..., store_staleness_seconds: _Optional[float] = ...) -> None: ...

class RolloutSpec(_message.Message):
    __slots__ = ("stable", "candidate", "stable_digest", "candidate_digest", "steps", "guardrails", "alpha", "promotion_alpha", "minimum_seconds", "minimum_units", "smoke_units", "maximum_seconds", "silence_seconds", "warming_seconds", "shadow_seconds", "soak_seconds", "approval", "holdout", "most_without_unit", "stable_slowdown", "shadow_share", "shadow_running", "shadow_load")
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    STABLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUARDRAILS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    PROMOTION_ALPHA_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_UNITS_FIELD_NUMBER: _ClassVar[int]
    SMOKE_UNITS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SILENCE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WARMING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SOAK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    HOLDOUT_FIELD_NUMBER: _ClassVar[int]
    MOST_WITHOUT_UNIT_FIELD_NUMBER: _ClassVar[int]
    STABLE_SLOWDOWN_FIELD_NUMBER: _ClassVar[int]
    SHADOW_SHARE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_RUNNING_FIELD_NUMBER: _ClassVar[int]
    SHADOW_LOAD_FIELD_NUMBER: _ClassVar[int]
    stable: str
    candidate: str
    stable_digest: str
    candidate_digest: str
    steps: _containers.RepeatedScalarFieldContainer[float]
    guardrails: _containers.RepeatedCompositeFieldContainer[RolloutGuardrail]
    alpha: float
    promotion_alpha: float
    minimum_seconds: float
    minimum_units: int
    smoke_units: int
    maximum_seconds: float
    silence_seconds: float
    warming_seconds: float
    shadow_seconds: float
    soak_seconds: float
    approval: str
    holdout: float
    most_without_unit: float
    stable_slowdown: float
    shadow_share: float
    shadow_running: int
    shadow_load: float
    def __init__(self, stable: _Optional[str] = ..., candidate: _Optional[str] = ..., stable_digest: _Optional[str] = ..., candidate_digest: _Optional[str] = ..., steps: _Optional[_Iterable[float]] = ..., guardrails: _Optional[_Iterable[_Union[RolloutGuardrail, _Mapping]]] = ..., alpha: _Optional[float] = ..., promotion_alpha: _Optional[float] = ..., minimum_seconds: _Optional[float] = ..., minimum_units: _Optional[int] = ..., smoke_units: _Optional[int] = ..., maximum_seconds: _Optional[float] = ..., silence_seconds: _Optional[float] = ..., warming_seconds: _Optional[float] = ..., shadow_seconds: _Optional[float] = ..., soak_seconds: _Optional[float] = ..., approval: _Optional[str] = ..., holdout: _Optional[float] = ..., most_without_unit: _Optional[float] = ..., stable_slowdown: _Optional[float] = ..., shadow_share: _Optional[float] = ..., shadow_running: _Optional[int] = ..., shadow_load: _Optional[float] = ...) -> None: ...

class RolloutGuardrail(_message.Message):
    __slots__ = ("guardrail", "tolerance", "margin", "ratio", "slower", "required")
    GUARDRAIL_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    SLOWER_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    guardrail: str
    tolerance: float
    margin: float
    ratio: float
    slower: float
    required: bool
    def __init__(self, guardrail: _Optional[str] = ..., tolerance: _Optional[float] = ..., margin: _Optional[float] = ..., ratio: _Optional[float] = ..., slower: _Optional[float] = ..., required: _Optional[bool] = ...) -> None: ...

class RolloutLook(_message.Message):
    __slots__ = ("at", "event", "reason", "message", "step", "share", "stable", "candidate", "counted", "exclusions", "estimates", "sample_ratio_log_evidence", "thresholds", "holes", "waiting_for", "stable_slowdown")
    AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    COUNTED_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIONS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATIO_LOG_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    HOLES_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    STABLE_SLOWDOWN_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    event: str
    reason: str
    message: str
    step: int
    share: float
    stable: RolloutArm
    candidate: RolloutArm
    counted: int
    exclusions: _containers.RepeatedCompositeFieldContainer[RolloutExclusion]
    estimates: _containers.RepeatedCompositeFieldContainer[RolloutEstimate]
    sample_ratio_log_evidence: float
    thresholds: RolloutThresholds
    holes: _containers.RepeatedScalarFieldContainer[str]
    waiting_for: _containers.RepeatedScalarFieldContainer[str]
    stable_slowdown: float
    def __init__(self, at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., step: _Optional[int] = ..., share: _Optional[float] = ..., stable: _Optional[_Union[RolloutArm, _Mapping]] = ..., candidate: _Optional[_Union[RolloutArm, _Mapping]] = ..., counted: _Optional[int] = ..., exclusions: _Optional[_Iterable[_Union[RolloutExclusion, _Mapping]]] = ..., estimates: _Optional[_Iterable[_Union[RolloutEstimate, _Mapping]]] = ..., sample_ratio_log_evidence: _Optional[float] = ..., thresholds: _Optional[_Union[RolloutThresholds, _Mapping]] = ..., holes: _Optional[_Iterable[str]] = ..., waiting_for: _Optional[_Iterable[str]] = ..., stable_slowdown: _Optional[float] = ...) -> None: ...

class RolloutArm(_message.Message):
    __slots__ = ("units", "new_units")
    UNITS_FIELD_NUMBER: _ClassVar[int]
    NEW_UNITS_FIELD_NUMBER: _ClassVar[int]
    units: int
    new_units: int
    def __init__(self, units: _Optional[int] = ..., new_units: _Optional[int] = ...) -> None: ...

class RolloutExclusion(_message.Message):
    __slots__ = ("reason", "requests")
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    requests: int
    def __init__(self, reason: _Optional[str] = ..., requests: _Optional[int] = ...) -> None: ...

class RolloutEstimate(_message.Message):
    __slots__ = ("guardrail", "test", "alpha", "tolerance", "ratio", "estimate", "lower", "upper", "standard_error", "z", "boundary", "crossed", "stable", "candidate")
    GUARDRAIL_FIELD_NUMBER: _ClassVar[int]
    TEST_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    RATIO_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_FIELD_NUMBER: _ClassVar[int]
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    BOUNDARY_FIELD_NUMBER: _ClassVar[int]
    CROSSED_FIELD_NUMBER: _ClassVar[int]
    STABLE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    guardrail: str
    test: str
    alpha: float
    tolerance: float
    ratio: float
    estimate: float
    lower: float
    upper: float
    standard_error: float
    z: float
    boundary: float
    crossed: bool
    stable: RolloutSums
    candidate: RolloutSums
    def __init__(self, guardrail: _Optional[str] = ..., test: _Optional[str] = ..., alpha: _Optional[float] = ..., tolerance: _Optional[float] = ..., ratio: _Optional[float] = ..., estimate: _Optional[float] = ..., lower: _Optional[float] = ..., upper: _Optional[float] = ..., standard_error: _Optional[float] = ..., z: _Optional[float] = ..., boundary: _Optional[float] = ..., crossed: _Optional[bool] = ..., stable: _Optional[_Union[RolloutSums, _Mapping]] = ..., candidate: _Optional[_Union[RolloutSums, _Mapping]] = ...) -> None: ...

class RolloutSums(_message.Message):
    __slots__ = ("units", "n", "y", "nn", "ny", "yy")
    UNITS_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    NN_FIELD_NUMBER: _ClassVar[int]
    NY_FIELD_NUMBER: _ClassVar[int]
    YY_FIELD_NUMBER: _ClassVar[int]
    units: int
    n: int
    y: float
    nn: float
    ny: float
    yy: float
    def __init__(self, units: _Optional[int] = ..., n: _Optional[int] = ..., y: _Optional[float] = ..., nn: _Optional[float] = ..., ny: _Optional[float] = ..., yy: _Optional[float] = ...) -> None: ...

class RolloutThresholds(_message.Message):
    __slots__ = ("ttft_ms", "total_ms", "cost_nano_usd")
    TTFT_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    COST_NANO_USD_FIELD_NUMBER: _ClassVar[int]
    ttft_ms: float
    total_ms: float
    cost_nano_usd: float
    def __init__(self, ttft_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., cost_nano_usd: _Optional[float] = ...) -> None: ...

class RolloutGateway(_message.Message):
    __slots__ = ("id", "address", "heartbeat_age_seconds", "live", "applied_revision", "ready", "problem", "same_spec", "overridden")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_REVISION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    SAME_SPEC_FIELD_NUMBER: _ClassVar[int]
    OVERRIDDEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    heartbeat_age_seconds: float
    live: bool
    applied_revision: int
    ready: bool
    problem: str
    same_spec: bool
    overridden: bool
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., heartbeat_age_seconds: _Optional[float] = ..., live: _Optional[bool] = ..., applied_revision: _Optional[int] = ..., ready: _Optional[bool] = ..., problem: _Optional[str] = ..., same_spec: _Optional[bool] = ..., overridden: _Optional[bool] = ...) -> None: ...

class RolloutTransition(_message.Message):
    __slots__ = ("rollout", "route", "revision", "fence", "at", "event", "from_state", "to_state", "from_step", "to_step", "share", "reason", "message", "actor", "evidence")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    FROM_STATE_FIELD_NUMBER: _ClassVar[int]
    TO_STATE_FIELD_NUMBER: _ClassVar[int]
    FROM_STEP_FIELD_NUMBER: _ClassVar[int]
    TO_STEP_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    route: str
    revision: int
    fence: int
    at: _timestamp_pb2.Timestamp
    event: str
    from_state: RolloutState
    to_state: RolloutState
    from_step: int
    to_step: int
    share: float
    reason: str
    message: str
    actor: str
    evidence: str
    def __init__(self, rollout: _Optional[str] = ..., route: _Optional[str] = ..., revision: _Optional[int] = ..., fence: _Optional[int] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event: _Optional[str] = ..., from_state: _Optional[_Union[RolloutState, str]] = ..., to_state: _Optional[_Union[RolloutState, str]] = ..., from_step: _Optional[int] = ..., to_step: _Optional[int] = ..., share: _Optional[float] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., actor: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class GetRolloutRequest(_message.Message):
    __slots__ = ("route",)
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    route: str
    def __init__(self, route: _Optional[str] = ...) -> None: ...

class GetRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class ListRolloutsRequest(_message.Message):
    __slots__ = ("route", "limit")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    route: str
    limit: int
    def __init__(self, route: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListRolloutsResponse(_message.Message):
    __slots__ = ("rollouts",)
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[Rollout]
    def __init__(self, rollouts: _Optional[_Iterable[_Union[Rollout, _Mapping]]] = ...) -> None: ...

class ListRolloutTransitionsRequest(_message.Message):
    __slots__ = ("route", "after_revision", "limit")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    route: str
    after_revision: int
    limit: int
    def __init__(self, route: _Optional[str] = ..., after_revision: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class ListRolloutTransitionsResponse(_message.Message):
    __slots__ = ("transitions", "more")
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    transitions: _containers.RepeatedCompositeFieldContainer[RolloutTransition]
    more: bool
    def __init__(self, transitions: _Optional[_Iterable[_Union[RolloutTransition, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class ReadRolloutObservationsRequest(_message.Message):
    __slots__ = ("rollout", "after_number")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    AFTER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    after_number: int
    def __init__(self, rollout: _Optional[str] = ..., after_number: _Optional[int] = ...) -> None: ...

class ReadRolloutObservationsResponse(_message.Message):
    __slots__ = ("number", "step", "gateway", "at", "data")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    number: int
    step: int
    gateway: str
    at: _timestamp_pb2.Timestamp
    data: bytes
    def __init__(self, number: _Optional[int] = ..., step: _Optional[int] = ..., gateway: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class RolloutChange(_message.Message):
    __slots__ = ("route", "reason", "actor", "revision")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    route: str
    reason: str
    actor: str
    revision: int
    def __init__(self, route: _Optional[str] = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class StartRolloutRequest(_message.Message):
    __slots__ = ("change", "restart")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    restart: bool
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ..., restart: _Optional[bool] = ...) -> None: ...

class StartRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class AdvanceRolloutRequest(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ...) -> None: ...

class AdvanceRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class ApproveRolloutRequest(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ...) -> None: ...

class ApproveRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class ResumeRolloutRequest(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ...) -> None: ...

class ResumeRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class PromoteRolloutRequest(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ...) -> None: ...

class PromoteRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class RollbackRolloutRequest(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ...) -> None: ...

class RollbackRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class CancelRolloutRequest(_message.Message):
    __slots__ = ("change",)
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    change: RolloutChange
    def __init__(self, change: _Optional[_Union[RolloutChange, _Mapping]] = ...) -> None: ...

class CancelRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...

class WatchRolloutRequest(_message.Message):
    __slots__ = ("route",)
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    route: str
    def __init__(self, route: _Optional[str] = ...) -> None: ...

class WatchRolloutResponse(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: Rollout
    def __init__(self, rollout: _Optional[_Union[Rollout, _Mapping]] = ...) -> None: ...
