"""Documents with fields, conditions on them, and the plain filter that says which documents these keep."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from trivet.types.metadata.fields import FieldType, field_value

TYPES = {
    "name": FieldType.TEXT,
    "price": FieldType.NUMBER,
    "day": FieldType.DATE,
    "open": FieldType.BOOL,
    "parts": FieldType.LIST,
}
TENANTS = ("", "acme", "bolt")
DOCUMENTS = 40
NAMES = ("Ab", "Abel", "ab", "a", "Äpfel", "ab-7", "Ab 7", "*", "")
PRICES = (-1, 0, 0.1, 0.5, 3, 3.0000001, 2**53)
DAYS = ("1969-12-31", "2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T01:00:00+01:00", "2026-02-01")
PARTS = ("Ab", "Abel", "b", "c d")
VALUES: Mapping[str, tuple[Any, ...]] = {
    "name": NAMES[:-1],
    "price": PRICES,
    "day": DAYS,
    "open": (True, False),
    "parts": PARTS,
}

names = st.sampled_from(sorted(TYPES))


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    """One that goes with its field's type."""
    name = draw(names)
    values = st.sampled_from(VALUES[name])
    kinds = ["equals", "in", "exists"]
    kinds += ["prefix"] if name in ("name", "parts") else []
    kinds += ["range", "range"] if name in ("price", "day") else []
    kind = draw(st.sampled_from(kinds))
    if kind == "in":
        return {"field": name, "in": draw(st.lists(values, min_size=1, max_size=3))}
    if kind == "exists":
        return {"field": name, "exists": draw(st.booleans())}
    if kind == "prefix":
        return {"field": name, "prefix": draw(values)[: draw(st.integers(1, 4))]}
    if kind == "range":
        sides = draw(st.sampled_from([("gt",), ("gte",), ("lt",), ("lte",), ("gt", "lte"), ("gte", "lt")]))
        return {"field": name, **{side: draw(values) for side in sides}}
    return {"field": name, "equals": draw(values)}


def wheres(depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Conditions inside of all, any and not."""
    if depth == 0:
        return conditions()
    inner = wheres(depth - 1)
    several = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        conditions(),
        several.map(lambda parts: {"all": parts}),
        several.map(lambda parts: {"any": parts}),
        inner.map(lambda part: {"not": part}),
    )


def keeps(where: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """The plain filter: what the conditions mean, told without the code that is tested but for reading a date."""
    if "all" in where:
        return all(keeps(part, fields) for part in where["all"])
    if "any" in where:
        return any(keeps(part, fields) for part in where["any"])
    if "not" in where:
        return not keeps(where["not"], fields)
    name = where["field"]
    if "exists" in where:
        return (name in fields) == where["exists"]
    if name not in fields:
        return False

    def plain(value: Any) -> Any:
        return field_value(FieldType.DATE, value) if name == "day" else value

    found = [plain(value) for value in (fields[name] if name == "parts" else [fields[name]])]
    if "prefix" in where:
        return any(one.startswith(where["prefix"]) for one in found)
    if "equals" in where or "in" in where:
        wanted = [plain(value) for value in where.get("in", [where.get("equals")])]
        return any(one in wanted for one in found)
    (one,) = found
    return all(
        {"gt": one > plain(value), "gte": one >= plain(value), "lt": one < plain(value), "lte": one <= plain(value)}[
            side
        ]
        for side, value in where.items()
        if side != "field"
    )


def documents() -> dict[tuple[str, str], dict[str, Any]]:
    """The fields of each, drawn once: some have none."""
    drawn = random.Random(20)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for number in range(DOCUMENTS):
        fields: dict[str, Any] = {}
        for name, values in VALUES.items():
            if drawn.random() < 0.7:
                fields[name] = drawn.sample(values, drawn.randint(1, 3)) if name == "parts" else drawn.choice(values)
        found[drawn.choice(TENANTS), f"d{number}"] = fields
    return found
