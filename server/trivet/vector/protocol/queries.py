"""Queries: protocol to engine."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as proto

from trivet.vector.protocol.bounds import check_found, check_stages
from trivet.vector.protocol.filters import optional_filter
from trivet.vector.protocol.values import payload_selector, sparse_of, vector_selector
from trivet.vector.strict import Unsupported, allow, variant

_DEFAULT_LIMIT = 10  # the protocol's
_COMMON = ("prefetch", "query", "using", "filter", "params", "score_threshold", "limit")
_IGNORED = ("collection_name", "read_consistency", "timeout")  # one copy, one loop: every read is consistent


def query_of(message: Any) -> edge.QueryRequest:
    """A QueryPoints."""
    allow(message, (*_COMMON, *_IGNORED, "offset", "with_payload", "with_vectors"))
    check_stages(message)
    check_found(message.offset)
    return edge.QueryRequest(
        offset=message.offset or None,
        with_payload=payload_selector(message),
        with_vector=vector_selector(message),
        **_stage(message),
    )


def _prefetch(message: Any) -> edge.Prefetch:
    allow(message, _COMMON)
    return edge.Prefetch(**_stage(message))


def _stage(message: Any) -> dict[str, Any]:
    """What a query and a prefetch have in common."""
    if not message.HasField("query"):
        raise Unsupported(f"{message.DESCRIPTOR.name} without a query")
    return {
        "limit": check_found(message.limit) if message.HasField("limit") else _DEFAULT_LIMIT,
        "query": _scoring(message.query, message.using if message.HasField("using") else None),
        "prefetches": [_prefetch(stage) for stage in message.prefetch],
        "filter": optional_filter(message),
        "score_threshold": message.score_threshold if message.HasField("score_threshold") else None,
        "params": _params(message.params) if message.HasField("params") else None,
    }


def _scoring(message: Any, using: str | None) -> Any:
    kind = variant(message, "variant", ("nearest", "fusion", "rrf"))
    if kind == "nearest":
        vector_kind = variant(message.nearest, "variant", ("dense", "sparse"))
        nearest = message.nearest
        vector = list(nearest.dense.data) if vector_kind == "dense" else sparse_of(nearest.sparse)
        return edge.Query.Nearest(vector, using=using)
    if kind == "rrf":
        if not message.rrf.HasField("k"):
            raise ValueError("Rrf.k must be set")
        return edge.Fusion.Rrf(k=message.rrf.k, weights=list(message.rrf.weights) or None)
    if message.fusion == proto.Fusion.DBSF:
        return edge.Fusion.Dbsf()
    return edge.Fusion.Rrf(k=2)  # the constant of Qdrant's own default


def _params(message: Any) -> edge.SearchParams:
    allow(message, ("hnsw_ef", "exact", "indexed_only"))
    return edge.SearchParams(
        hnsw_ef=message.hnsw_ef if message.HasField("hnsw_ef") else None,
        exact=message.exact,
        indexed_only=message.indexed_only,
    )
