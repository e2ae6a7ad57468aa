"""A receipt as the log has it: one JSON object, with the fields' names in the contract."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from trivet.types.generation import FinishReason
from trivet.types.receipt import Cost, Receipt, ShadowPair, UnitSource

_MARKS = frozenset({"cold", "shadow", "trace_sampled"})  # of few requests: absent where they do not hold


def to_json(receipt: Receipt) -> dict[str, Any]:
    """The log's form: every known field by its name in the contract; unknown ones are absent."""
    data: dict[str, Any] = {}
    for name in Receipt.__slots__:
        value = getattr(receipt, name)
        if value is None or value == () or value == {} or value == "" or (name in _MARKS and not value):
            continue
        if isinstance(value, FinishReason | UnitSource):
            value = value.value
        elif isinstance(value, datetime):
            value = value.isoformat()
        elif isinstance(value, ShadowPair):
            value = {key: part for key, part in asdict(value).items() if part is not None and part != ()}
        elif isinstance(value, Cost):
            value = _cost_to_json(value)
            if not value:
                continue
        data[name] = value
    return data


def from_json(data: dict[str, Any]) -> Receipt:
    """The inverse of `to_json`; ValueError, KeyError or TypeError if it is none of ours."""
    fields = {"route": "", **data}
    fields["created_at"] = datetime.fromisoformat(fields["created_at"])
    if "finish_reason" in fields:
        fields["finish_reason"] = FinishReason(fields["finish_reason"])
    if "unit_source" in fields:
        fields["unit_source"] = UnitSource(fields["unit_source"])
    if "shadow_pair" in fields:
        pair = dict(fields["shadow_pair"])
        fields["shadow_pair"] = ShadowPair(**{**pair, "degraded": tuple(pair.get("degraded", ()))})
    cost = dict(fields.pop("cost", {}))
    for derived in ("total", "basis"):
        cost.pop(derived, None)
    for name in ("passage_ids", "degraded", "example_ids", "budget_warnings"):
        fields[name] = tuple(fields.get(name, ()))
    return Receipt(cost=Cost(**cost), **fields)


def _cost_to_json(cost: Cost) -> dict[str, int | str]:
    return {**cost.parts, "total": sum(cost.parts.values()), "basis": cost.basis} if cost.parts else {}
