"""A search as the protocol has it. The client's own models, validated one by one, would take as long as the search."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import RestToGrpc, grpc_to_payload

from trivet.stores.qdrant import points
from trivet.stores.records import AskedVectors

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
    asked: Sequence[AskedVectors],
    seen: models.Filter,
    params: models.SearchParams | None,
    *,
    limit: int,
    candidates: int,
    rrf_k: int,
    besides: Sequence[str] = (),
    halves: Collection[str] = (points.DENSE, points.TERMS),
) -> Any:
    """A QueryPoints: for each text `candidates` by meaning, found as `params` say, and by terms, all of those `seen`,
    fused. `besides`: payload fields to tell of each that is found, besides those of every search. `halves`: only these
    of the two.
    """
    visible = RestToGrpc.convert_filter(seen)
    legs = [leg for one in asked for leg in _legs(one, halves)]
    prefetch = [
        grpc.PrefetchQuery(query=grpc.Query(nearest=vector), using=name, filter=visible, limit=candidates)
        for name, vector, _ in legs
    ]
    for stage in prefetch:
        if params is not None and stage.using == points.DENSE:
            stage.params.CopyFrom(RestToGrpc.convert_search_params(params))
    return grpc.QueryPoints(
        collection_name=collection,
        prefetch=prefetch,
        query=grpc.Query(rrf=grpc.Rrf(k=rrf_k, weights=[weight for _, _, weight in legs])),
        limit=limit,
        with_payload=grpc.WithPayloadSelector(include=grpc.PayloadIncludeSelector(fields=[*_FOUND, *besides])),
        with_vectors=_VECTORS,
        read_consistency=_MAJORITY,
    )


def _legs(asked: AskedVectors, halves: Collection[str]) -> Iterator[tuple[str, Any, float]]:
    """The searches for one text: the vector's name, the vector, the weight. A half alone is not weighed."""
    weights = asked.weights if len(halves) > 1 else (1.0, 1.0)
    if points.DENSE in halves:
        yield points.DENSE, grpc.VectorInput(dense=grpc.DenseVector(data=asked.dense)), weights[0]
    if asked.terms.indices and points.TERMS in halves:
        sparse = grpc.SparseVector(indices=asked.terms.indices, values=asked.terms.values)
        yield points.TERMS, grpc.VectorInput(sparse=sparse), weights[1]


def payload_of(found: Any) -> Mapping[str, Any]:
    """The payload of a ScoredPoint."""
    payload: dict[str, Any] = grpc_to_payload(found.payload)
    return payload


def cosines(asked: Sequence[AskedVectors], found: Sequence[Any]) -> list[float]:
    """The highest cosine of the texts' dense vectors with that of each ScoredPoint, which the engine normalises."""
    if not found:
        return []
    outputs = [point.vectors.vectors.vectors[points.DENSE] for point in found]
    vectors = [output.dense.data or output.data for output in outputs]  # the second: as older servers have it
    dense = np.array([one.dense for one in asked], dtype=np.float32)
    similar: list[float] = (np.array(vectors, dtype=np.float32) @ dense.T).max(axis=1).tolist()
    return similar
