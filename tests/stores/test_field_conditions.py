"""Any conditions on any fields find, for any tenant, what a plain filter keeps of what it may see, and nothing else."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.retrieval.qdrant_engines import DIMENSION, K, passages, put, vector
from trivet.retrieval.settings import RecencySettings
from trivet.retrieval.snapshot.recency import with_recency
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import DocumentKey, Revision, SparseVector, Visibility
from trivet.stores.vector_process import VectorProcess
from trivet.types.metadata.fields import FieldType, field_value, field_values
from trivet.types.metadata.where import bound, parse_where

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


@pytest.mark.process
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.timeout(300)
async def test_what_is_found_is_what_a_plain_filter_keeps_of_what_the_tenant_may_see(process: VectorProcess) -> None:
    store = QdrantStore.embedded(lambda: process.endpoint)
    store._search_timeout = 30.0
    collection, there = f"fields-{uuid.uuid4().hex}", documents()
    await store.ensure(collection, DIMENSION, TYPES)
    for (tenant, id_), fields in there.items():
        of = Revision(DocumentKey(tenant, id_), 1, "digest")
        await put(store, collection, passages(of, fields=field_values(TYPES, fields)))
    loop = asyncio.get_running_loop()

    async def search(where: dict[str, Any], tenant: str) -> set[tuple[str, str]]:
        who = Visibility(tenant, (), 1000.0, bound(parse_where(where), TYPES))
        terms = SparseVector([100], [1.0])
        found = await store.search(collection, vector(0.0), terms, who, limit=DOCUMENTS, candidates=DOCUMENTS, rrf_k=K)
        return {(one.of.key.tenant, one.of.key.id) for one in found}

    @given(wheres(), st.sampled_from(TENANTS))
    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    def run(where: dict[str, Any], tenant: str) -> None:
        found = asyncio.run_coroutine_threadsafe(search(where, tenant), loop).result(60)
        visible = {key: fields for key, fields in there.items() if key[0] in ("", tenant)}
        assert found == {key for key, fields in visible.items() if keeps(where, fields)}

    await asyncio.to_thread(run)
    # Nothing that can be asked for is without the tenant's condition: what is true of everything finds its own alone.
    everything = {"any": [{"field": "name", "exists": True}, {"field": "name", "exists": False}]}
    assert {key[0] for key in await search(everything, "acme")} == {"", "acme"}
    await store.drop(collection)
    await store.close()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ([], "a list, expected an object"),
        ({}, "expected exactly one of all, any, not, field"),
        ({"all": []}, "'all' is not a list of conditions"),
        ({"all": [], "any": []}, "expected exactly one of"),
        ({"not": {"field": "name", "equals": "x"}, "extra": 1}, "stands beside other names"),
        ({"field": "name"}, "expected one test"),
        ({"field": "name", "like": "x"}, "unknown test 'like', expected one of equals"),
        ({"field": "price", "gt": 1, "gte": 2}, "two bounds on the same side"),
        ({"field": "price", "gt": 1, "equals": 2}, "expected one test, or bounds of a range, got 2"),
        ({"field": "name", "in": list(map(str, range(17)))}, "more than 16 conditions"),
        ({"all": [{"any": [{"field": "name", "in": list("abcdefghi")}] * 2}]}, "more than 16 conditions"),
        ({"all": [{"field": "name", "exists": True}] * 17}, "expected at most 16"),
        ({"not": {"not": {"not": {"not": {"field": "name", "exists": True}}}}}, "nested deeper than 4"),
        ({"field": "colour", "equals": "red"}, "field 'colour' is not declared in index.yaml, which has name, price"),
        ({"field": "price", "equals": "3"}, "field 'price': '3', expected a number"),
        ({"field": "price", "equals": True}, "expected a number"),
        ({"field": "price", "lt": float("nan")}, "expected a number from"),
        ({"field": "name", "lt": "b"}, "lt of a text, expected a field of number or date"),
        ({"field": "price", "prefix": "3"}, "prefix of a number, expected a field of text or list"),
        ({"field": "day", "gt": "yesterday"}, "expected a date like 2026-01-31"),
        ({"field": "day", "gt": "2026-01-31T10:00:00"}, "expected a date like 2026-01-31"),
        ({"field": "open", "equals": 1}, "expected true or false"),
        ({"field": "name", "equals": "x" * 257}, "a text of 257 characters"),
        ({"field": "name", "exists": 1}, "'exists' is neither true nor false"),
    ],
)
def test_what_cannot_be_asked_is_said(where: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r".+") as raised:
        bound(parse_where(where), TYPES)
    assert said in str(raised.value)


def test_deep_conditions_are_refused_without_descending_into_them() -> None:
    where: dict[str, Any] = {"field": "name", "exists": True}
    for _ in range(100_000):
        where = {"not": where}
    with pytest.raises(ValueError, match="nested deeper than 4"):
        parse_where(where)


def found(moment: float | None, score: float) -> Any:
    """A passage that was found."""
    from trivet.stores.records import FoundPassage

    of = Revision(DocumentKey("", f"at {moment}"), 1, "digest")
    return FoundPassage(score, 0.5, True, of, 0, "", "", 1, 0, 1, None, None, moment=moment)


def test_recency_is_a_third_list_whose_part_halves_with_age() -> None:
    day = 86_400.0
    recency = RecencySettings("day", half_life=10 * day, weight=0.5)
    now = 1000 * day
    given_ = [
        found(now, 0.4),
        found(now - 10 * day, 0.4),
        found(now - 10 * day, 0.3),
        found(None, 0.4),
        found(now + day, 0.1),
    ]
    scores = [one.score for one in with_recency(given_, recency, 2, now)]
    first, second, third = (1 / ((rank + 1) / 0.5 + 1) for rank in range(3))
    assert scores == pytest.approx([0.4 + second, 0.4 + third / 2, 0.3 + third / 2, 0.4, 0.1 + first])
