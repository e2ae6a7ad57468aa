"""Payload values, points and selectors: protocol to engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import qdrant_edge as edge

from trivet.vector.protocol.filters import point_id
from trivet.vector.strict import Unsupported, allow, variant


def value_of(message: Any) -> Any:
    """A payload Value as Python data."""
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return payload_of(message.struct_value.fields)
    if kind == "list_value":
        return [value_of(item) for item in message.list_value.values]
    return getattr(message, kind)


def payload_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A payload as Python data."""
    return {key: value_of(value) for key, value in fields.items()}


def sparse_of(message: Any) -> edge.SparseVector:
    """A SparseVector of the protocol."""
    return edge.SparseVector(indices=list(message.indices), values=list(message.values))


def points_of(messages: Iterable[Any]) -> list[edge.Point]:
    """PointStructs. A point may have no vector at all; then no vector search finds it."""
    return [
        edge.Point(point_id(message.id), _vectors(message.vectors), payload_of(message.payload)) for message in messages
    ]


def _vectors(message: Any) -> Any:
    kind = message.WhichOneof("vectors_options")
    if kind is None:
        return {}
    if kind == "vector":
        return _vector(message.vector)
    return {name: _vector(vector) for name, vector in message.vectors.vectors.items()}


def _vector(message: Any) -> Any:
    if message.WhichOneof("vector") is None:  # the form of older clients
        allow(message, ("data",))
        return list(message.data)
    kind = variant(message, "vector", ("dense", "sparse"))
    return list(message.dense.data) if kind == "dense" else sparse_of(message.sparse)


def payload_selector(owner: Any) -> Any:
    """Which payload fields the answer shall have."""
    if not owner.HasField("with_payload"):
        return False
    kind = variant(owner.with_payload, "selector_options", ("enable", "include", "exclude"))
    if kind == "enable":
        return owner.with_payload.enable
    names = list(getattr(owner.with_payload, kind).fields)
    return edge.PayloadSelector.Include(names) if kind == "include" else edge.PayloadSelector.Exclude(names)


def vector_selector(owner: Any) -> Any:
    """Which vectors the answer shall have."""
    if not owner.HasField("with_vectors"):
        return False
    kind = variant(owner.with_vectors, "selector_options", ("enable", "include"))
    return owner.with_vectors.enable if kind == "enable" else list(owner.with_vectors.include.names)


def without_vectors(owner: Any) -> None:
    """Raise Unsupported if the answer shall have vectors."""
    if vector_selector(owner):
        raise Unsupported(f"{owner.DESCRIPTOR.name}.with_vectors")
