"""Between the Admin service's messages and the domain's types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import admin_pb2
from trivet.errors import DocumentRejected, InvalidRequest
from trivet.excerpt import quote
from trivet.retrieval.documents.documents import FORMATS
from trivet.rpc.request.fields import plain, struct_of
from trivet.types.adapter import AdapterState, AdapterStatus, AdapterTier
from trivet.types.corpus import CorpusReport
from trivet.types.generation import EngineNodeStatus
from trivet.types.passage import Acknowledgement, BuildProgress, Document, DocumentFormat, IndexStatus
from trivet.types.variant import Route, Variant, VersionRef

_STATES = {
    AdapterState.REGISTERED: admin_pb2.ADAPTER_STATE_REGISTERED,
    AdapterState.STAGED: admin_pb2.ADAPTER_STATE_STAGED,
    AdapterState.WARMING: admin_pb2.ADAPTER_STATE_WARMING,
    AdapterState.READY: admin_pb2.ADAPTER_STATE_READY,
    AdapterState.DRAINING: admin_pb2.ADAPTER_STATE_DRAINING,
    AdapterState.FAILED: admin_pb2.ADAPTER_STATE_FAILED,
}
_TIERS = {
    AdapterTier.DISK: admin_pb2.ADAPTER_TIER_DISK,
    AdapterTier.HOST: admin_pb2.ADAPTER_TIER_HOST,
    AdapterTier.LEASED: admin_pb2.ADAPTER_TIER_LEASED,
}
_FORMATS = {
    admin_pb2.DOCUMENT_FORMAT_TEXT: DocumentFormat.TEXT,
    admin_pb2.DOCUMENT_FORMAT_MARKDOWN: DocumentFormat.MARKDOWN,
    admin_pb2.DOCUMENT_FORMAT_HTML: DocumentFormat.HTML,
    admin_pb2.DOCUMENT_FORMAT_PDF: DocumentFormat.PDF,
    admin_pb2.DOCUMENT_FORMAT_JSON_LINES: DocumentFormat.JSON_LINES,
    admin_pb2.DOCUMENT_FORMAT_DOCX: DocumentFormat.DOCX,
    admin_pb2.DOCUMENT_FORMAT_PPTX: DocumentFormat.PPTX,
    admin_pb2.DOCUMENT_FORMAT_XLSX: DocumentFormat.XLSX,
    admin_pb2.DOCUMENT_FORMAT_ODF: DocumentFormat.ODF,
    admin_pb2.DOCUMENT_FORMAT_EPUB: DocumentFormat.EPUB,
    admin_pb2.DOCUMENT_FORMAT_MAIL: DocumentFormat.MAIL,
    admin_pb2.DOCUMENT_FORMAT_CSV: DocumentFormat.CSV,
    admin_pb2.DOCUMENT_FORMAT_RST: DocumentFormat.RST,
    admin_pb2.DOCUMENT_FORMAT_NOTEBOOK: DocumentFormat.NOTEBOOK,
    admin_pb2.DOCUMENT_FORMAT_CODE: DocumentFormat.CODE,
    admin_pb2.DOCUMENT_FORMAT_IMAGE: DocumentFormat.IMAGE,
}
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # 0001-01-01 and 9999-12-31, as Timestamp has it
_FORMAT_NUMBERS = {format_: number for number, format_ in _FORMATS.items()}


def ref_of(name: str) -> VersionRef:
    """`name@version` of a request; InvalidRequest otherwise."""
    try:
        return VersionRef.parse(name)
    except ValueError as error:
        raise InvalidRequest({"name": str(error)}) from error


def document_from_proto(document: admin_pb2.Document, tenant: str) -> Document:
    """One document to index, as one of `tenant`. Raises DocumentRejected for a format that is not known."""
    if document.format not in (admin_pb2.DOCUMENT_FORMAT_UNSPECIFIED, *_FORMATS):
        raise DocumentRejected(f"document {quote(document.id)}: format {document.format} is not known")
    by_ending = FORMATS.get(PurePath(document.source).suffix.lower(), DocumentFormat.TEXT)
    return Document(
        id=document.id,
        content=document.content,
        format=_FORMATS.get(document.format, by_ending),
        title=document.title,
        source=document.source,
        tags=tuple(document.tags),
        tenant=tenant,
        valid_from=_seconds(document, "valid_from"),
        valid_until=_seconds(document, "valid_until"),
        fields=_fields(document),
    )


def document_to_proto(document: Document) -> admin_pb2.Document:
    """The message that `document_from_proto` reads."""
    proto = admin_pb2.Document(
        id=document.id,
        title=document.title,
        content=document.content,
        format=_FORMAT_NUMBERS[document.format],
        source=document.source,
        tags=document.tags,
        tenant=document.tenant,
    )
    if document.fields:
        proto.fields.CopyFrom(struct_of(document.fields))
    for field in ("valid_from", "valid_until"):
        bound: float | None = getattr(document, field)
        if bound is not None:
            seconds, rest = divmod(round(bound * 1_000_000), 1_000_000)
            getattr(proto, field).CopyFrom(Timestamp(seconds=seconds, nanos=rest * 1000))
    return proto


def _fields(document: admin_pb2.Document) -> dict[str, Any]:
    """Fields as JSON has them. Raises DocumentRejected for a number that JSON does not have."""
    try:
        return plain(document.fields)
    except ValueError as error:
        raise DocumentRejected(f"document {quote(document.id)}: fields: {error}") from None


def _seconds(document: admin_pb2.Document, field: str) -> float | None:
    """A bound in seconds since 1970, None if absent. Raises InvalidRequest for what Timestamp's own rules forbid."""
    if not document.HasField(field):
        return None
    timestamp: Timestamp = getattr(document, field)
    if not (_FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND and 0 <= timestamp.nanos < 1_000_000_000):
        raise InvalidRequest({field: "expected a time from the year 1 to 9999, and 0 to 999,999,999 nanoseconds"})
    return timestamp.seconds + timestamp.nanos / 1e9


def route_to_proto(route: Route, is_ready: Callable[[Route, Variant], bool]) -> admin_pb2.Route:
    """A route and its variants, by name."""
    variants = [
        admin_pb2.WeightedVariant(
            variant=_variant_to_proto(variant), weight=route.weights[name], ready=is_ready(route, variant)
        )
        for name, variant in route.variants.items()
    ]
    return admin_pb2.Route(name=route.name, variants=variants, rollout_revision=route.revision)


def _variant_to_proto(variant: Variant) -> admin_pb2.Variant:
    return admin_pb2.Variant(
        name=variant.name,
        backend=variant.backend,
        prompt=str(variant.prompt),
        index="" if variant.retrieval is None else variant.retrieval.index,
        adapter=variant.adapter_text,
        output_format="text" if variant.json_schema is None else "json",
    )


def adapter_users(routes: Mapping[str, Route], on_demand: Iterable[VersionRef] = ()) -> dict[VersionRef, list[str]]:
    """For each adapter the routes with a variant that uses it, or lets the tenant of one of `on_demand` choose it."""
    users: dict[VersionRef, list[str]] = {}
    for name, route in routes.items():
        for ref in {variant.adapter for variant in route.variants.values() if variant.adapter is not None}:
            users.setdefault(ref, []).append(name)
    choices = [
        (name, variant.adapter_choice)
        for name, route in routes.items()
        for variant in route.variants.values()
        if variant.adapter_choice is not None
    ]
    for ref in on_demand:
        found = [name for name, choice in choices if choice.may_name(ref)]
        users.setdefault(ref, []).extend(name for name in dict.fromkeys(found) if name not in users.get(ref, ()))
    return users


def adapter_to_proto(status: AdapterStatus, users: Mapping[VersionRef, Sequence[str]]) -> admin_pb2.Adapter:
    """An adapter, and the routes that use it."""
    return admin_pb2.Adapter(
        name=str(status.ref),
        engine_name=status.engine_name,
        state=_STATES[status.state],
        tier=_TIERS[status.tier],
        routes=users.get(status.ref, ()),
        problem=status.problem,
        rank=status.rank,
        digest=status.digest,
        requested=status.requested,
        on_demand=status.on_demand,
        fetched_bytes=status.fetch.done if status.fetch else 0,
        fetch_bytes=status.fetch.total if status.fetch else 0,
    )


def index_to_proto(status: IndexStatus, routes: Mapping[str, Route]) -> admin_pb2.Index:
    """An index, and the routes with a variant that searches it."""
    users = [
        name
        for name, route in routes.items()
        if any(item.retrieval is not None and item.retrieval.index == status.name for item in route.variants.values())
    ]
    return admin_pb2.Index(
        name=status.name,
        snapshot=status.snapshot,
        documents=status.documents,
        passages=status.passages,
        embedding_model=status.embedding_model,
        dimension=status.dimension,
        routes=users,
        retained_snapshots=status.retained,
        build_due=status.build_due,
        unoptimised_writes=status.unoptimised,
        retained_lag=status.lag,
        notes=status.notes,
    )


def _progress_to_proto(progress: BuildProgress) -> admin_pb2.BuildProgress:
    return admin_pb2.BuildProgress(
        stage=progress.stage,
        done=progress.done,
        total=progress.total,
        document_id=progress.document_id,
        skipped=progress.skipped,
    )


def build_event_to_proto(event: BuildProgress | CorpusReport) -> admin_pb2.BuildIndexResponse:
    """What a build reports."""
    if isinstance(event, CorpusReport):
        return admin_pb2.BuildIndexResponse(corpus=_corpus_to_proto(event))
    return admin_pb2.BuildIndexResponse(progress=_progress_to_proto(event))


def _corpus_to_proto(report: CorpusReport) -> admin_pb2.CorpusReport:
    skipped = [admin_pb2.SkippedFile(file=one.file, reason=one.reason, kept=one.kept) for one in report.first_skipped]
    guessed = [admin_pb2.GuessedEncoding(file=one.file, encoding=one.encoding) for one in report.first_guessed]
    return admin_pb2.CorpusReport(
        files=report.files,
        documents=report.documents,
        skipped=report.skipped,
        first_skipped=skipped,
        ignored=report.ignored,
        ignored_kinds=[admin_pb2.IgnoredKind(ending=ending, files=count) for ending, count in report.ignored_kinds],
        excluded=report.excluded,
        guessed=report.guessed,
        first_guessed=guessed,
    )


def acknowledgement_to_proto(done: Acknowledgement) -> admin_pb2.UpsertDocumentsResponse:
    """A document that is durable and found."""
    return admin_pb2.UpsertDocumentsResponse(
        id=done.id, revision=done.revision, unchanged=done.unchanged, passages=done.passages
    )


def engine_node_to_proto(node: EngineNodeStatus) -> admin_pb2.EngineNode:
    """One node of a fleet."""
    return admin_pb2.EngineNode(
        backend=node.backend,
        address=node.address,
        name=node.name,
        state=node.state,
        problem=node.problem,
        in_flight=node.in_flight,
        running=node.running,
        waiting=node.waiting,
        adapters=node.adapters,
        adapter_places=node.adapter_places,
        kv_use=node.kv_use,
        engine_version=node.engine_version,
        trivet_version=node.trivet_version,
    )
