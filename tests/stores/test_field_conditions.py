"""Any conditions on any fields find, for any tenant, what a plain filter keeps of what it may see, and nothing else."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.retrieval.field_conditions import DOCUMENTS, TENANTS, TYPES, VALUES, documents, keeps, wheres
from tests.support.retrieval.qdrant_engines import DIMENSION, K, passages, put, vector
from trivet.retrieval.settings import RecencySettings
from trivet.retrieval.snapshot.recency import with_recency
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import AskedVectors, DocumentKey, Revision, SparseVector, Visibility
from trivet.stores.vector_process import VectorProcess
from trivet.types.metadata.fields import field_values
from trivet.types.metadata.where import bound, parse_where


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
        found = await store.search(
            collection, [AskedVectors(vector(0.0), terms)], who, limit=DOCUMENTS, candidates=DOCUMENTS, rrf_k=K
        )
        return {(one.of.key.tenant, one.of.key.id) for one in found}

    @given(wheres(), st.sampled_from(TENANTS))
    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    def run(where: dict[str, Any], tenant: str) -> None:
        found = asyncio.run_coroutine_threadsafe(search(where, tenant), loop).result(60)
        visible = {key: fields for key, fields in there.items() if key[0] in ("", tenant)}
        assert found == {key for key, fields in visible.items() if keeps(where, fields)}

    await asyncio.to_thread(run)
    # As long a list as may be asked for goes to the engine as a whole.
    for name in ("name", "parts"):
        many = {"field": name, "in": [*VALUES[name][:2], *(f"other {number}" for number in range(14))]}
        expected = {key for key, fields in there.items() if key[0] in ("", "acme") and keeps(many, fields)}
        assert await search(many, "acme") == expected != set()
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
