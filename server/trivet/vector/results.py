"""What was found: engine to protocol."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as proto
from qdrant_client.conversions.conversion import payload_to_grpc


def to_point_id(id_: Any) -> Any:
    """An engine's point id."""
    return proto.PointId(num=id_) if isinstance(id_, int) else proto.PointId(uuid=str(id_))


def to_scored(point: Any, payload: dict[str, Any]) -> Any:
    """A found point, with this payload."""
    scored = proto.ScoredPoint(
        id=to_point_id(point.id), payload=payload_to_grpc(payload), score=point.score, version=point.version
    )
    found = point.vector
    if isinstance(found, dict):
        for name, vector in found.items():
            _set_vector(scored.vectors.vectors.vectors[name], vector)
    elif found is not None:
        _set_vector(scored.vectors.vector, found)
    return scored


def _set_vector(message: Any, data: Any) -> None:
    """In place: a message that is built apart is copied when it is put into another one."""
    if isinstance(data, edge.SparseVector):
        message.sparse.indices.extend(data.indices)
        message.sparse.values.extend(data.values)
    else:
        message.dense.data.extend(data)


def to_retrieved(record: Any) -> Any:
    """A point that was asked for by id or filter."""
    return proto.RetrievedPoint(id=to_point_id(record.id), payload=payload_to_grpc(record.payload or {}))
