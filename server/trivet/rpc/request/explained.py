"""Between explanations of searches, summaries of documents, and their messages."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import admin_pb2
from trivet.errors import Problems
from trivet.rpc.request.fields import where_of
from trivet.types.passage import DocumentSummary, ExplainedPassage, SearchExplanation, SearchQuery

_TOP_K = 3


def explained_query(request: admin_pb2.ExplainSearchRequest) -> SearchQuery:
    """The search to explain; raises InvalidRequest for conditions that cannot be read."""
    problems = Problems()
    where = where_of(request, problems)
    problems.refuse()
    return SearchQuery(
        request.index,
        request.text,
        request.tenant,
        request.top_k if request.HasField("top_k") else _TOP_K,
        tags=tuple(request.filter),
        rerank=request.rerank,
        collapse=True,
        where=() if where is None else (where,),
    )


def explanation_to_proto(found: SearchExplanation) -> admin_pb2.ExplainSearchResponse:
    """How a search came about."""
    return admin_pb2.ExplainSearchResponse(
        snapshot=found.snapshot,
        meaning_weight=found.weights[0],
        terms_weight=found.weights[1],
        rrf_k=found.rrf_k,
        candidates=found.candidates,
        terms=found.terms,
        passages=[_passage_to_proto(one) for one in found.passages],
        reranked=found.reranked,
        corrections=[admin_pb2.Correction(word=one.word, instead=one.instead) for one in found.corrections],
    )


def _passage_to_proto(one: ExplainedPassage) -> admin_pb2.ExplainedPassage:
    passage = one.passage
    return admin_pb2.ExplainedPassage(
        passage_id=passage.id,
        document_id=passage.document_id,
        title=passage.title,
        text=passage.text,
        meaning_rank=one.meaning_rank,
        terms_rank=one.terms_rank,
        score=passage.score,
        recency=one.recency,
        similarity=passage.similarity,
        left_out=one.left_out or "",
        rerank_score=one.rerank_score,
    )


def documents_to_proto(documents: Sequence[DocumentSummary]) -> admin_pb2.ListDocumentsResponse:
    """Some of an index's documents."""
    return admin_pb2.ListDocumentsResponse(documents=[_document_to_proto(one) for one in documents])


def _document_to_proto(one: DocumentSummary) -> admin_pb2.DocumentSummary:
    return admin_pb2.DocumentSummary(
        id=one.id,
        tenant=one.tenant,
        revision=one.revision,
        title=one.title,
        source=one.source,
        updated=_timestamp(one.updated),
        valid_until=None if one.valid_until is None else _timestamp(one.valid_until),
        passages=one.passages,
        content=one.content,
    )


def _timestamp(seconds: float) -> Timestamp:
    whole, rest = divmod(round(seconds * 1_000_000), 1_000_000)
    return Timestamp(seconds=whole, nanos=rest * 1000)
