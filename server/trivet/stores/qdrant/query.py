"""A search as the protocol has it. The client's own models, validated one by one, would take as long as the search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import RestToGrpc, grpc_to_payload

from trivet.stores.qdrant import points
from trivet.stores.records import SparseVector

_MAJORITY = grpc.ReadConsistency(type=grpc.ReadConsistencyType.Majority)
_FOUND = (
    "document_id",
    "tenant",
    "revision",
    "digest",
    "n",
    "title",
    "text",
    "n_tokens",
    "start",
    "end",
    "text_digest",
    "place",
    "valid_from",
    "valid_until",
    *points.HEAD_TOLD,
)
_VECTORS = grpc.WithVectorsSelector(include=grpc.VectorsSelector(names=[points.DENSE]))


def query_message(
    collection: str,
    dense: Sequence[float],
    terms: SparseVector,
    seen: models.Filter,
    params: models.SearchParams | None,
    *,
    limit: int,
    candidates: int,
    rrf_k: int,
    weights: tuple[float, float],
    besides: Sequence[str] = (),
    halves: Collection[str] = (points.DENSE, points.TERMS),
) -> Any:
    """A QueryPoints: `candidates` by meaning, found as `params` say, and by terms, both of those `seen`, fused.
    `besides`: payload fields to tell of each that is found, besides those of every search. `halves`: only these of the
    two.
    """
    visible = RestToGrpc.convert_filter(seen)
    legs = [(points.DENSE, grpc.VectorInput(dense=grpc.DenseVector(data=dense)))]
    if points.DENSE not in halves:
        legs.clear()
    if terms.indices and points.TERMS in halves:
        asked = grpc.SparseVector(indices=terms.indices, values=terms.values)
        legs.append((points.TERMS, grpc.VectorInput(sparse=asked)))
    prefetch = [
        grpc.PrefetchQuery(query=grpc.Query(nearest=asked), using=name, filter=visible, limit=candidates)
        for name, asked in legs
    ]
    if params is not None and points.DENSE in halves:
        prefetch[0].params.CopyFrom(RestToGrpc.convert_search_params(params))
    return grpc.QueryPoints(
        collection_name=collection,
        prefetch=prefetch,
        query=grpc.Query(rrf=grpc.Rrf(k=rrf_k, weights=weights[: len(legs)] if len(halves) > 1 else [1.0])),
        limit=limit,
        with_payload=grpc.WithPayloadSelector(include=grpc.PayloadIncludeSelector(fields=[*_FOUND, *besides])),
        with_vectors=_VECTORS,
        read_consistency=_MAJORITY,
    )


def payload_of(found: Any) -> Mapping[str, Any]:
    """The payload of a ScoredPoint."""
    payload: dict[str, Any] = grpc_to_payload(found.payload)
    return payload


def cosines(dense: Sequence[float], found: Sequence[Any]) -> list[float]:
    """Cosine of `dense`, which is normalised, with the dense vector of each ScoredPoint: the engine normalises them."""
    if not found:
        return []
    outputs = [point.vectors.vectors.vectors[points.DENSE] for point in found]
    vectors = [output.dense.data or output.data for output in outputs]  # the second: as older servers have it
    similar: list[float] = (np.array(vectors, dtype=np.float32) @ np.array(dense, dtype=np.float32)).tolist()
    return similar
