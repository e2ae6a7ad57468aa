import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trivet.api.v1 import inference_pb2 as _inference_pb2
from trivet.api.v1 import receipt_pb2 as _receipt_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Interaction(_message.Message):
    __slots__ = ("request_id", "route", "variant", "unit", "stored_at", "messages", "answer", "variables", "tool_calls", "receipt", "rating")
    class VariablesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    STORED_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    route: str
    variant: str
    unit: str
    stored_at: _timestamp_pb2.Timestamp
    messages: _containers.RepeatedCompositeFieldContainer[_inference_pb2.Message]
    answer: str
    variables: _containers.ScalarMap[str, str]
    tool_calls: _containers.RepeatedCompositeFieldContainer[_inference_pb2.ToolCall]
    receipt: _receipt_pb2.Receipt
    rating: Rating
    def __init__(self, request_id: _Optional[str] = ..., route: _Optional[str] = ..., variant: _Optional[str] = ..., unit: _Optional[str] = ..., stored_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_inference_pb2.Message, _Mapping]]] = ..., answer: _Optional[str] = ..., variables: _Optional[_Mapping[str, str]] = ..., tool_calls: _Optional[_Iterable[_Union[_inference_pb2.ToolCall, _Mapping]]] = ..., receipt: _Optional[_Union[_receipt_pb2.Receipt, _Mapping]] = ..., rating: _Optional[_Union[Rating, _Mapping]] = ...) -> None: ...

class Rating(_message.Message):
    __slots__ = ("score", "label", "corrected_text", "comment")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_TEXT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    score: float
    label: str
    corrected_text: str
    comment: str
    def __init__(self, score: _Optional[float] = ..., label: _Optional[str] = ..., corrected_text: _Optional[str] = ..., comment: _Optional[str] = ...) -> None: ...

class InteractionFilter(_message.Message):
    __slots__ = ("routes", "variants", "after", "before", "rated")
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    RATED_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedScalarFieldContainer[str]
    variants: _containers.RepeatedScalarFieldContainer[str]
    after: _timestamp_pb2.Timestamp
    before: _timestamp_pb2.Timestamp
    rated: bool
    def __init__(self, routes: _Optional[_Iterable[str]] = ..., variants: _Optional[_Iterable[str]] = ..., after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rated: _Optional[bool] = ...) -> None: ...

class ExportInteractionsRequest(_message.Message):
    __slots__ = ("filter", "limit")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    filter: InteractionFilter
    limit: int
    def __init__(self, filter: _Optional[_Union[InteractionFilter, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class ExportInteractionsResponse(_message.Message):
    __slots__ = ("interaction",)
    INTERACTION_FIELD_NUMBER: _ClassVar[int]
    interaction: Interaction
    def __init__(self, interaction: _Optional[_Union[Interaction, _Mapping]] = ...) -> None: ...

class CountInteractionsRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: InteractionFilter
    def __init__(self, filter: _Optional[_Union[InteractionFilter, _Mapping]] = ...) -> None: ...

class CountInteractionsResponse(_message.Message):
    __slots__ = ("counts",)
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    counts: _containers.RepeatedCompositeFieldContainer[InteractionCount]
    def __init__(self, counts: _Optional[_Iterable[_Union[InteractionCount, _Mapping]]] = ...) -> None: ...

class InteractionCount(_message.Message):
    __slots__ = ("route", "variant", "stored", "rated", "corrected", "mean_score", "oldest", "newest")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    RATED_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_FIELD_NUMBER: _ClassVar[int]
    MEAN_SCORE_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    route: str
    variant: str
    stored: int
    rated: int
    corrected: int
    mean_score: float
    oldest: _timestamp_pb2.Timestamp
    newest: _timestamp_pb2.Timestamp
    def __init__(self, route: _Optional[str] = ..., variant: _Optional[str] = ..., stored: _Optional[int] = ..., rated: _Optional[int] = ..., corrected: _Optional[int] = ..., mean_score: _Optional[float] = ..., oldest: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., newest: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class EraseInteractionsRequest(_message.Message):
    __slots__ = ("unit_ids", "request_ids", "all")
    UNIT_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_IDS_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    unit_ids: _containers.RepeatedScalarFieldContainer[str]
    request_ids: _containers.RepeatedScalarFieldContainer[str]
    all: bool
    def __init__(self, unit_ids: _Optional[_Iterable[str]] = ..., request_ids: _Optional[_Iterable[str]] = ..., all: _Optional[bool] = ...) -> None: ...

class EraseInteractionsResponse(_message.Message):
    __slots__ = ("erased",)
    ERASED_FIELD_NUMBER: _ClassVar[int]
    erased: int
    def __init__(self, erased: _Optional[int] = ...) -> None: ...
