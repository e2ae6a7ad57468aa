"""Filters: protocol to engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import qdrant_edge as edge

from trivet.vector.protocol.bounds import check_filter
from trivet.vector.strict import Unsupported, allow, variant

_RANGE = ("gte", "gt", "lte", "lt")


def point_id(message: Any) -> int | str:
    """A PointId: an unsigned integer or a UUID as text."""
    return int(message.num) if message.WhichOneof("point_id_options") == "num" else str(message.uuid)


def filter_of(message: Any) -> edge.Filter:
    """A Filter of the protocol, if it is within bounds."""
    check_filter(message)
    return _filter(message)


def _filter(message: Any) -> edge.Filter:
    allow(message, ("must", "should", "must_not"))
    return edge.Filter(
        must=_conditions(message.must),
        should=_conditions(message.should),
        must_not=_conditions(message.must_not),
    )


def optional_filter(owner: Any, field: str = "filter") -> edge.Filter | None:
    """The filter in `field` of `owner`, None if it is not set."""
    return filter_of(getattr(owner, field)) if owner.HasField(field) else None


def _conditions(messages: Iterable[Any]) -> list[Any] | None:
    return [_condition(message) for message in messages] or None


def _condition(message: Any) -> Any:
    kind = variant(message, "condition_one_of", ("field", "is_empty", "is_null", "has_id", "filter"))
    if kind == "field":
        return _field(message.field)
    if kind == "is_empty":
        return edge.IsEmptyCondition(message.is_empty.key)
    if kind == "is_null":
        return edge.IsNullCondition(message.is_null.key)
    if kind == "has_id":
        return edge.HasIdCondition({point_id(id_) for id_ in message.has_id.has_id})
    return _filter(message.filter)


def _field(message: Any) -> edge.FieldCondition:
    allow(message, ("key", "match", "range"))
    match = _match(message.match) if message.HasField("match") else None
    range_ = None
    if message.HasField("range"):
        bounds = message.range
        range_ = edge.RangeFloat(**{name: getattr(bounds, name) for name in _RANGE if bounds.HasField(name)})
    return edge.FieldCondition(message.key, match=match, range=range_)


def _match(message: Any) -> Any:
    known = ("keyword", "integer", "keywords", "integers", "except_keywords", "except_integers", "prefix", "boolean")
    kind = variant(message, "match_value", known)
    if kind == "boolean":
        # The engine's Python binding reads True as the integer 1, which matches nothing: better refused than silent.
        raise Unsupported("Match.boolean")
    if kind == "prefix":
        return edge.MatchPrefix(message.prefix)
    if kind in ("keyword", "integer"):
        return edge.MatchValue(getattr(message, kind))
    values = list(getattr(message, kind).strings if kind.endswith("keywords") else getattr(message, kind).integers)
    return edge.MatchExcept(values) if kind.startswith("except") else edge.MatchAny(values)
