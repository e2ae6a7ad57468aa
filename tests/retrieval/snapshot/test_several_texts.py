"""Several texts in one search: each finds its own, and what several find comes first."""

from __future__ import annotations

import pytest

from trivet.errors import InvalidRequest
from trivet.retrieval.service import IndexService
from trivet.retrieval.snapshot.explain import explain
from trivet.types.passage import Document, DocumentFormat, SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]
TEXTS = {
    "lamp": "The lamp has a warranty of thirty months.",
    "boat": "A boat sails across the sea.",
    "cake": "The cake is baked with butter and sugar.",
    "part": "Part 1023-55-A belongs to the engine.",
    "other": "Part 55-1023-A belongs to the rudder.",
}


async def test_what_all_texts_find_is_fused(service: IndexService) -> None:
    for id_, text in TEXTS.items():
        await service.upsert("handbook", Document(id_, text.encode(), DocumentFormat.TEXT))
    await service.upsert("handbook", Document("own", b"A boat of acme.", DocumentFormat.TEXT, tenant="acme"))

    async def found(*texts: str, top_k: int = 2) -> dict[str, float]:
        passages = (await service.search(SearchQuery("handbook", texts[0], "", top_k, more=texts[1:]))).passages
        return {one.document_id: one.score for one in passages}

    lamp, boat = "How long is the warranty?", "What crosses the ocean?"
    assert list(await found(lamp, top_k=1)) == ["lamp"]
    assert set(await found(lamp, boat)) == {"lamp", "boat"}, "nothing of another tenant's"
    twice = await found(lamp, boat, "Is the lamp under warranty?", top_k=1)
    assert list(twice) == ["lamp"]
    alone = await found(lamp, top_k=5)
    assert await found(lamp, lamp, top_k=5) == alone, "a text that is there twice counts once"

    # The fused score is the sum over all lists of 1 / (rank / weight + rrf_k - 1). A part number in one of the texts
    # decides that text's weights alone, and one that no passage has decides nothing.
    live = service.indexes["handbook"].live
    for other in (boat, "Where does 55-1023-A go?", "Where does 99-1023-A go?"):
        told = [await explain(live, SearchQuery("handbook", text, "", 5)) for text in (lamp, other)]
        for id_, score in (await found(lamp, other, top_k=5)).items():
            parts = [one.passage.score for all_ in told for one in all_.passages if one.passage.document_id == id_]
            assert score == pytest.approx(sum(parts)), (other, id_)
    assert told[1].weights == told[0].weights == (1.0, 0.34)

    similar = (await service.search(SearchQuery("handbook", boat, "", 5, more=(lamp,)))).passages
    highest = {one.document_id: one.similarity for one in similar}
    single = {
        one.document_id: one.similarity for one in (await service.search(SearchQuery("handbook", lamp, "", 5))).passages
    }
    assert highest["lamp"] == pytest.approx(single["lamp"])

    with pytest.raises(InvalidRequest, match="more_texts"):
        await service.search(SearchQuery("handbook", "a", "", 1, more=("b", "c", "d", "e")))
    with pytest.raises(InvalidRequest, match="more_texts: has an empty text"):
        await service.search(SearchQuery("handbook", "a", "", 1, more=("b", " ")))
