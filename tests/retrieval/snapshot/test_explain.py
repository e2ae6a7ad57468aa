"""What is told of a search is what it did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from trivet.errors import InvalidRequest, RetrievalUnavailable
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import RecencySettings
from trivet.types.metadata.fields import FieldType
from trivet.types.metadata.where import parse_where
from trivet.types.passage import Document, DocumentFormat, LeftOut, SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]
FIELDS = {"price": FieldType.NUMBER, "day": FieldType.DATE}
TEXTS = {
    "lamp": "---\nprice: 5\nday: 2020-01-01\n---\nThe lamp weighs 12 grams.",
    "lamp2": "---\nprice: 5\nday: 2020-01-01\n---\nThe lamp  weighs 12 grams.",
    "hub": "---\nprice: 50\nday: 2026-06-01\nother: x\n---\nThe hub weighs 80 grams.",
    "plug": "---\nprice: 70\n---\nThe plug is white and has no weight to speak of.",
}


async def test_what_is_told_is_what_the_search_did(make_service: Callable[..., Awaitable[IndexService]]) -> None:
    service = await make_service(fields=FIELDS)
    for id_, text in TEXTS.items():
        await service.upsert("handbook", Document(id_, text.encode(), DocumentFormat.MARKDOWN))
    await service.upsert("handbook", Document("own", b"The lamp of acme.", DocumentFormat.TEXT, tenant="acme"))
    cheap = parse_where({"field": "price", "lt": 60})
    query = SearchQuery("handbook", "How much does the lamp weigh?", "", 1, collapse=True, where=(cheap,))
    answer = (await service.search(query)).passages
    told = await service.explain(query)
    assert told.weights == (1.0, 0.34)
    of = {one.passage.document_id: one for one in told.passages}
    assert set(of) == set(TEXTS), "and nothing of another tenant's"
    assert [one.passage.id for one in told.passages if not one.left_out] == [one.id for one in answer]
    first, second = sorted(("lamp", "lamp2"), key=lambda id_: bool(of[id_].left_out))
    assert of[first].passage.score == pytest.approx(answer[0].score)
    assert (of[second].left_out, of["hub"].left_out, of["plug"].left_out) == (
        LeftOut.COPY,
        LeftOut.BEYOND,
        LeftOut.FILTERED,
    )
    assert {of["lamp"].meaning_rank, of["lamp2"].meaning_rank} == {1, 2}

    with pytest.raises(InvalidRequest, match="colour"):
        await service.search(
            SearchQuery("handbook", "lamp", "", 1, where=(parse_where({"field": "colour", "equals": 1}),))
        )
    with pytest.raises(InvalidRequest):
        await service.explain(SearchQuery("handbook", "  ", "", 1))
    documents = [one async for some in service.documents("handbook") for one in some]
    assert {(one.tenant, one.id) for one in documents} == {("acme", "own"), *(("", id_) for id_ in TEXTS)}
    same = {one.id: one.content for one in documents}
    assert same["lamp"] == same["lamp2"] != same["hub"]

    newer = await make_service(fields=FIELDS, recency=RecencySettings("day", half_life=86_400 * 1e6, weight=1.0))
    recent = {one.passage.document_id: one for one in (await newer.explain(query)).passages}
    assert recent["hub"].recency > recent["lamp"].recency > 0
    assert recent["hub"].passage.score == pytest.approx(of["hub"].passage.score + recent["hub"].recency)

    changed = await make_service(fields={**FIELDS, "colour": FieldType.TEXT})
    with pytest.raises(RetrievalUnavailable, match="trivet index build"):
        await changed.search(
            SearchQuery("handbook", "lamp", "", 1, where=(parse_where({"field": "colour", "equals": "red"}),))
        )


async def test_all_of_an_answer_is_told_of_where_more_is_asked_for_than_there_are_candidates(
    make_service: Callable[..., Awaitable[IndexService]],
) -> None:
    service = await make_service(candidates=4)
    for number in range(12):
        text = f"Lamp number {number} weighs {10 + number} grams."
        await service.upsert("handbook", Document(f"lamp{number}", text.encode(), DocumentFormat.TEXT))
    query = SearchQuery("handbook", "How much does a lamp weigh?", "", 10)
    answer, told = (await service.search(query)).passages, await service.explain(query)
    assert [one.passage.id for one in told.passages if not one.left_out] == [one.id for one in answer]
    assert len(answer) == 10


async def test_a_field_of_another_type_refuses_the_document(
    make_service: Callable[..., Awaitable[IndexService]],
) -> None:
    from trivet.errors import DocumentRejected

    service = await make_service(fields=FIELDS)
    with pytest.raises(DocumentRejected, match="field 'price': 'free', expected a number"):
        await service.upsert("handbook", Document("a", b"---\nprice: free\n---\nText.", DocumentFormat.MARKDOWN))
    with pytest.raises(DocumentRejected, match="field 'size' is not declared"):
        await service.upsert("handbook", Document("a", b"Text.", DocumentFormat.TEXT, fields={"size": 1}))
    await service.upsert("handbook", Document("a", b"Text.", DocumentFormat.TEXT, fields={"price": 1}))
    found = await service.search(
        SearchQuery("handbook", "text", "", 1, where=(parse_where({"field": "price", "equals": 1}),))
    )
    assert [one.document_id for one in found.passages] == ["a"]
