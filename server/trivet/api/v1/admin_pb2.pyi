import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from trivet.api.v1 import interaction_pb2 as _interaction_pb2
from trivet.api.v1 import rollout_pb2 as _rollout_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AdapterState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADAPTER_STATE_UNSPECIFIED: _ClassVar[AdapterState]
    ADAPTER_STATE_REGISTERED: _ClassVar[AdapterState]
    ADAPTER_STATE_STAGED: _ClassVar[AdapterState]
    ADAPTER_STATE_WARMING: _ClassVar[AdapterState]
    ADAPTER_STATE_READY: _ClassVar[AdapterState]
    ADAPTER_STATE_DRAINING: _ClassVar[AdapterState]
    ADAPTER_STATE_FAILED: _ClassVar[AdapterState]

class AdapterTier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADAPTER_TIER_UNSPECIFIED: _ClassVar[AdapterTier]
    ADAPTER_TIER_DISK: _ClassVar[AdapterTier]
    ADAPTER_TIER_HOST: _ClassVar[AdapterTier]
    ADAPTER_TIER_LEASED: _ClassVar[AdapterTier]

class DocumentFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOCUMENT_FORMAT_UNSPECIFIED: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_TEXT: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_MARKDOWN: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_HTML: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_PDF: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_JSON_LINES: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_DOCX: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_PPTX: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_XLSX: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_ODF: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_EPUB: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_MAIL: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_CSV: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_RST: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_NOTEBOOK: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_CODE: _ClassVar[DocumentFormat]
    DOCUMENT_FORMAT_IMAGE: _ClassVar[DocumentFormat]
ADAPTER_STATE_UNSPECIFIED: AdapterState
ADAPTER_STATE_REGISTERED: AdapterState
ADAPTER_STATE_STAGED: AdapterState
ADAPTER_STATE_WARMING: AdapterState
ADAPTER_STATE_READY: AdapterState
ADAPTER_STATE_DRAINING: AdapterState
ADAPTER_STATE_FAILED: AdapterState
ADAPTER_TIER_UNSPECIFIED: AdapterTier
ADAPTER_TIER_DISK: AdapterTier
ADAPTER_TIER_HOST: AdapterTier
ADAPTER_TIER_LEASED: AdapterTier
DOCUMENT_FORMAT_UNSPECIFIED: DocumentFormat
DOCUMENT_FORMAT_TEXT: DocumentFormat
DOCUMENT_FORMAT_MARKDOWN: DocumentFormat
DOCUMENT_FORMAT_HTML: DocumentFormat
DOCUMENT_FORMAT_PDF: DocumentFormat
DOCUMENT_FORMAT_JSON_LINES: DocumentFormat
DOCUMENT_FORMAT_DOCX: DocumentFormat
DOCUMENT_FORMAT_PPTX: DocumentFormat
DOCUMENT_FORMAT_XLSX: DocumentFormat
DOCUMENT_FORMAT_ODF: DocumentFormat
DOCUMENT_FORMAT_EPUB: DocumentFormat
DOCUMENT_FORMAT_MAIL: DocumentFormat
DOCUMENT_FORMAT_CSV: DocumentFormat
DOCUMENT_FORMAT_RST: DocumentFormat
DOCUMENT_FORMAT_NOTEBOOK: DocumentFormat
DOCUMENT_FORMAT_CODE: DocumentFormat
DOCUMENT_FORMAT_IMAGE: DocumentFormat

class ListRoutesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRoutesResponse(_message.Message):
    __slots__ = ("routes",)
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    routes: _containers.RepeatedCompositeFieldContainer[Route]
    def __init__(self, routes: _Optional[_Iterable[_Union[Route, _Mapping]]] = ...) -> None: ...

class ReloadRoutesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadRoutesResponse(_message.Message):
    __slots__ = ("revision", "differences")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    revision: int
    differences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, revision: _Optional[int] = ..., differences: _Optional[_Iterable[str]] = ...) -> None: ...

class Route(_message.Message):
    __slots__ = ("name", "variants", "rollout_revision")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_REVISION_FIELD_NUMBER: _ClassVar[int]
    name: str
    variants: _containers.RepeatedCompositeFieldContainer[WeightedVariant]
    rollout_revision: int
    def __init__(self, name: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[WeightedVariant, _Mapping]]] = ..., rollout_revision: _Optional[int] = ...) -> None: ...

class WeightedVariant(_message.Message):
    __slots__ = ("variant", "weight", "ready")
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    variant: Variant
    weight: float
    ready: bool
    def __init__(self, variant: _Optional[_Union[Variant, _Mapping]] = ..., weight: _Optional[float] = ..., ready: _Optional[bool] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("name", "backend", "prompt", "index", "adapter", "output_format")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    name: str
    backend: str
    prompt: str
    index: str
    adapter: str
    output_format: str
    def __init__(self, name: _Optional[str] = ..., backend: _Optional[str] = ..., prompt: _Optional[str] = ..., index: _Optional[str] = ..., adapter: _Optional[str] = ..., output_format: _Optional[str] = ...) -> None: ...

class Adapter(_message.Message):
    __slots__ = ("name", "engine_name", "state", "tier", "routes", "problem", "rank", "digest", "requested", "fetched_bytes", "fetch_bytes", "on_demand")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENGINE_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    FETCHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FETCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FIELD_NUMBER: _ClassVar[int]
    name: str
    engine_name: str
    state: AdapterState
    tier: AdapterTier
    routes: _containers.RepeatedScalarFieldContainer[str]
    problem: str
    rank: int
    digest: str
    requested: bool
    fetched_bytes: int
    fetch_bytes: int
    on_demand: bool
    def __init__(self, name: _Optional[str] = ..., engine_name: _Optional[str] = ..., state: _Optional[_Union[AdapterState, str]] = ..., tier: _Optional[_Union[AdapterTier, str]] = ..., routes: _Optional[_Iterable[str]] = ..., problem: _Optional[str] = ..., rank: _Optional[int] = ..., digest: _Optional[str] = ..., requested: _Optional[bool] = ..., fetched_bytes: _Optional[int] = ..., fetch_bytes: _Optional[int] = ..., on_demand: _Optional[bool] = ...) -> None: ...

class ListAdaptersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAdaptersResponse(_message.Message):
    __slots__ = ("adapters",)
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    adapters: _containers.RepeatedCompositeFieldContainer[Adapter]
    def __init__(self, adapters: _Optional[_Iterable[_Union[Adapter, _Mapping]]] = ...) -> None: ...

class LoadAdapterRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class LoadAdapterResponse(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: Adapter
    def __init__(self, adapter: _Optional[_Union[Adapter, _Mapping]] = ...) -> None: ...

class UnloadAdapterRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UnloadAdapterResponse(_message.Message):
    __slots__ = ("adapter",)
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    adapter: Adapter
    def __init__(self, adapter: _Optional[_Union[Adapter, _Mapping]] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("id", "title", "content", "format", "source", "tags", "tenant", "valid_from", "valid_until", "fields")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    content: bytes
    format: DocumentFormat
    source: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    fields: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., content: _Optional[bytes] = ..., format: _Optional[_Union[DocumentFormat, str]] = ..., source: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fields: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class UpsertDocumentsRequest(_message.Message):
    __slots__ = ("index", "document", "more", "content")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    index: str
    document: Document
    more: bool
    content: bytes
    def __init__(self, index: _Optional[str] = ..., document: _Optional[_Union[Document, _Mapping]] = ..., more: _Optional[bool] = ..., content: _Optional[bytes] = ...) -> None: ...

class UpsertDocumentsResponse(_message.Message):
    __slots__ = ("id", "revision", "unchanged", "passages", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    revision: int
    unchanged: bool
    passages: int
    error: DocumentError
    def __init__(self, id: _Optional[str] = ..., revision: _Optional[int] = ..., unchanged: _Optional[bool] = ..., passages: _Optional[int] = ..., error: _Optional[_Union[DocumentError, _Mapping]] = ...) -> None: ...

class DocumentError(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    message: str
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class DeleteDocumentsRequest(_message.Message):
    __slots__ = ("index", "ids", "tenant")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    index: str
    ids: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    def __init__(self, index: _Optional[str] = ..., ids: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ...) -> None: ...

class DeleteDocumentsResponse(_message.Message):
    __slots__ = ("deleted", "missing")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    deleted: _containers.RepeatedScalarFieldContainer[str]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, deleted: _Optional[_Iterable[str]] = ..., missing: _Optional[_Iterable[str]] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("name", "snapshot", "documents", "passages", "embedding_model", "dimension", "routes", "retained_snapshots", "build_due", "unoptimised_writes", "retained_lag", "notes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    BUILD_DUE_FIELD_NUMBER: _ClassVar[int]
    UNOPTIMISED_WRITES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_LAG_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    snapshot: str
    documents: int
    passages: int
    embedding_model: str
    dimension: int
    routes: _containers.RepeatedScalarFieldContainer[str]
    retained_snapshots: _containers.RepeatedScalarFieldContainer[str]
    build_due: str
    unoptimised_writes: int
    retained_lag: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., snapshot: _Optional[str] = ..., documents: _Optional[int] = ..., passages: _Optional[int] = ..., embedding_model: _Optional[str] = ..., dimension: _Optional[int] = ..., routes: _Optional[_Iterable[str]] = ..., retained_snapshots: _Optional[_Iterable[str]] = ..., build_due: _Optional[str] = ..., unoptimised_writes: _Optional[int] = ..., retained_lag: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListIndexesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListIndexesResponse(_message.Message):
    __slots__ = ("indexes",)
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    indexes: _containers.RepeatedCompositeFieldContainer[Index]
    def __init__(self, indexes: _Optional[_Iterable[_Union[Index, _Mapping]]] = ...) -> None: ...

class BuildIndexRequest(_message.Message):
    __slots__ = ("index", "rebuild", "strict")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    REBUILD_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    index: str
    rebuild: bool
    strict: bool
    def __init__(self, index: _Optional[str] = ..., rebuild: _Optional[bool] = ..., strict: _Optional[bool] = ...) -> None: ...

class BuildIndexResponse(_message.Message):
    __slots__ = ("progress", "built", "corpus")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    BUILT_FIELD_NUMBER: _ClassVar[int]
    CORPUS_FIELD_NUMBER: _ClassVar[int]
    progress: BuildProgress
    built: Index
    corpus: CorpusReport
    def __init__(self, progress: _Optional[_Union[BuildProgress, _Mapping]] = ..., built: _Optional[_Union[Index, _Mapping]] = ..., corpus: _Optional[_Union[CorpusReport, _Mapping]] = ...) -> None: ...

class BuildProgress(_message.Message):
    __slots__ = ("stage", "done", "total", "document_id", "skipped")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done: int
    total: int
    document_id: str
    skipped: int
    def __init__(self, stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., document_id: _Optional[str] = ..., skipped: _Optional[int] = ...) -> None: ...

class CorpusReport(_message.Message):
    __slots__ = ("files", "documents", "skipped", "first_skipped", "ignored", "ignored_kinds", "excluded", "guessed", "first_guessed")
    FILES_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    FIRST_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    IGNORED_KINDS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    GUESSED_FIELD_NUMBER: _ClassVar[int]
    FIRST_GUESSED_FIELD_NUMBER: _ClassVar[int]
    files: int
    documents: int
    skipped: int
    first_skipped: _containers.RepeatedCompositeFieldContainer[SkippedFile]
    ignored: int
    ignored_kinds: _containers.RepeatedCompositeFieldContainer[IgnoredKind]
    excluded: int
    guessed: int
    first_guessed: _containers.RepeatedCompositeFieldContainer[GuessedEncoding]
    def __init__(self, files: _Optional[int] = ..., documents: _Optional[int] = ..., skipped: _Optional[int] = ..., first_skipped: _Optional[_Iterable[_Union[SkippedFile, _Mapping]]] = ..., ignored: _Optional[int] = ..., ignored_kinds: _Optional[_Iterable[_Union[IgnoredKind, _Mapping]]] = ..., excluded: _Optional[int] = ..., guessed: _Optional[int] = ..., first_guessed: _Optional[_Iterable[_Union[GuessedEncoding, _Mapping]]] = ...) -> None: ...

class SkippedFile(_message.Message):
    __slots__ = ("file", "reason", "kept")
    FILE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    file: str
    reason: str
    kept: bool
    def __init__(self, file: _Optional[str] = ..., reason: _Optional[str] = ..., kept: _Optional[bool] = ...) -> None: ...

class IgnoredKind(_message.Message):
    __slots__ = ("ending", "files")
    ENDING_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    ending: str
    files: int
    def __init__(self, ending: _Optional[str] = ..., files: _Optional[int] = ...) -> None: ...

class GuessedEncoding(_message.Message):
    __slots__ = ("file", "encoding")
    FILE_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    file: str
    encoding: str
    def __init__(self, file: _Optional[str] = ..., encoding: _Optional[str] = ...) -> None: ...

class RollbackIndexRequest(_message.Message):
    __slots__ = ("index", "snapshot", "reason")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    index: str
    snapshot: str
    reason: str
    def __init__(self, index: _Optional[str] = ..., snapshot: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RollbackIndexResponse(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: Index
    def __init__(self, index: _Optional[_Union[Index, _Mapping]] = ...) -> None: ...

class ExplainSearchRequest(_message.Message):
    __slots__ = ("index", "text", "tenant", "top_k", "filter", "where", "rerank")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    index: str
    text: str
    tenant: str
    top_k: int
    filter: _containers.RepeatedScalarFieldContainer[str]
    where: _struct_pb2.Struct
    rerank: bool
    def __init__(self, index: _Optional[str] = ..., text: _Optional[str] = ..., tenant: _Optional[str] = ..., top_k: _Optional[int] = ..., filter: _Optional[_Iterable[str]] = ..., where: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., rerank: _Optional[bool] = ...) -> None: ...

class ExplainSearchResponse(_message.Message):
    __slots__ = ("snapshot", "meaning_weight", "terms_weight", "rrf_k", "candidates", "terms", "passages", "reranked", "corrections")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    MEANING_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TERMS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RRF_K_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    RERANKED_FIELD_NUMBER: _ClassVar[int]
    CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    snapshot: str
    meaning_weight: float
    terms_weight: float
    rrf_k: int
    candidates: int
    terms: int
    passages: _containers.RepeatedCompositeFieldContainer[ExplainedPassage]
    reranked: int
    corrections: _containers.RepeatedCompositeFieldContainer[Correction]
    def __init__(self, snapshot: _Optional[str] = ..., meaning_weight: _Optional[float] = ..., terms_weight: _Optional[float] = ..., rrf_k: _Optional[int] = ..., candidates: _Optional[int] = ..., terms: _Optional[int] = ..., passages: _Optional[_Iterable[_Union[ExplainedPassage, _Mapping]]] = ..., reranked: _Optional[int] = ..., corrections: _Optional[_Iterable[_Union[Correction, _Mapping]]] = ...) -> None: ...

class Correction(_message.Message):
    __slots__ = ("word", "instead")
    WORD_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_FIELD_NUMBER: _ClassVar[int]
    word: str
    instead: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, word: _Optional[str] = ..., instead: _Optional[_Iterable[str]] = ...) -> None: ...

class ExplainedPassage(_message.Message):
    __slots__ = ("passage_id", "document_id", "title", "text", "meaning_rank", "terms_rank", "score", "recency", "similarity", "left_out", "rerank_score")
    PASSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MEANING_RANK_FIELD_NUMBER: _ClassVar[int]
    TERMS_RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    RERANK_SCORE_FIELD_NUMBER: _ClassVar[int]
    passage_id: str
    document_id: str
    title: str
    text: str
    meaning_rank: int
    terms_rank: int
    score: float
    recency: float
    similarity: float
    left_out: str
    rerank_score: float
    def __init__(self, passage_id: _Optional[str] = ..., document_id: _Optional[str] = ..., title: _Optional[str] = ..., text: _Optional[str] = ..., meaning_rank: _Optional[int] = ..., terms_rank: _Optional[int] = ..., score: _Optional[float] = ..., recency: _Optional[float] = ..., similarity: _Optional[float] = ..., left_out: _Optional[str] = ..., rerank_score: _Optional[float] = ...) -> None: ...

class ListDocumentsRequest(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: str
    def __init__(self, index: _Optional[str] = ...) -> None: ...

class ListDocumentsResponse(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[DocumentSummary]
    def __init__(self, documents: _Optional[_Iterable[_Union[DocumentSummary, _Mapping]]] = ...) -> None: ...

class DocumentSummary(_message.Message):
    __slots__ = ("id", "tenant", "revision", "title", "source", "updated", "valid_until", "passages", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    tenant: str
    revision: int
    title: str
    source: str
    updated: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    passages: int
    content: str
    def __init__(self, id: _Optional[str] = ..., tenant: _Optional[str] = ..., revision: _Optional[int] = ..., title: _Optional[str] = ..., source: _Optional[str] = ..., updated: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., passages: _Optional[int] = ..., content: _Optional[str] = ...) -> None: ...

class ListEngineNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListEngineNodesResponse(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[EngineNode]
    def __init__(self, nodes: _Optional[_Iterable[_Union[EngineNode, _Mapping]]] = ...) -> None: ...

class EngineNode(_message.Message):
    __slots__ = ("backend", "address", "name", "state", "problem", "in_flight", "running", "waiting", "adapters", "adapter_places", "kv_use", "engine_version", "trivet_version")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_PLACES_FIELD_NUMBER: _ClassVar[int]
    KV_USE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRIVET_VERSION_FIELD_NUMBER: _ClassVar[int]
    backend: str
    address: str
    name: str
    state: str
    problem: str
    in_flight: int
    running: int
    waiting: int
    adapters: _containers.RepeatedScalarFieldContainer[str]
    adapter_places: int
    kv_use: float
    engine_version: str
    trivet_version: str
    def __init__(self, backend: _Optional[str] = ..., address: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[str] = ..., problem: _Optional[str] = ..., in_flight: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., adapters: _Optional[_Iterable[str]] = ..., adapter_places: _Optional[int] = ..., kv_use: _Optional[float] = ..., engine_version: _Optional[str] = ..., trivet_version: _Optional[str] = ...) -> None: ...

class DrainEngineNodeRequest(_message.Message):
    __slots__ = ("address", "draining")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    address: str
    draining: bool
    def __init__(self, address: _Optional[str] = ..., draining: _Optional[bool] = ...) -> None: ...

class DrainEngineNodeResponse(_message.Message):
    __slots__ = ("running",)
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    running: int
    def __init__(self, running: _Optional[int] = ...) -> None: ...
