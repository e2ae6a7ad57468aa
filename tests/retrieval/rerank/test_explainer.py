"""What is told of a reranked search is what it did, with a real cross-encoder over a real index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.retrieval.rerank.test_rerank import make_cross_encoder
from trivet.errors import FailedPrecondition
from trivet.retrieval.explainer import RerankingExplainer
from trivet.retrieval.rerank.rerank import Reranker, RerankingRetriever, RerankSettings
from trivet.retrieval.service import IndexService
from trivet.types.passage import Document, DocumentFormat, LeftOut, SearchQuery

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]
TEXTS = ["red lamp", "blue hub", "hub weighs a grams", "lamp weighs grams", "red red", "blue lamp\n\nred hub"]


async def test_what_is_told_is_what_the_cross_encoder_did(
    make_service: Callable[..., Awaitable[IndexService]], tmp_path: Path
) -> None:
    service = await make_service()
    for number, text in enumerate(TEXTS):
        await service.upsert("handbook", Document(f"d{number}", text.encode(), DocumentFormat.TEXT))
    model = make_cross_encoder(tmp_path / "cross-encoder")
    reranker = await Reranker.open(RerankSettings(model, candidates=5), tmp_path / "exported")
    rerankers = {"handbook": reranker}
    try:
        retriever, explainer = RerankingRetriever(service, rerankers), RerankingExplainer(service, rerankers)
        query = SearchQuery("handbook", "lamp", "", 2, rerank=True)
        answer = (await retriever.search(query)).passages
        told = await explainer.explain(query)
        assert [one.passage.id for one in told.passages if not one.left_out] == [one.id for one in answer]
        assert [one.rerank_score for one in told.passages[:2]] == pytest.approx([one.score for one in answer])
        assert told.reranked == 5
        assert [one.left_out for one in told.passages] == [None, None, *[LeftOut.BEYOND] * 3, *[LeftOut.UNREAD] * 2]
        read = [one.rerank_score for one in told.passages[:5]]
        assert read == sorted(read, key=lambda score: -(score or 0.0))
        assert [one.rerank_score for one in told.passages[5:]] == [None, None]
        assert all(one.meaning_rank for one in told.passages)

        floor = (read[2] or 0.0) - 1e-6
        strict = replace(query, top_k=5, min_score=floor)
        assert [one.left_out for one in (await explainer.explain(strict)).passages[3:5]] == [
            LeftOut.BELOW,
            LeftOut.BELOW,
        ]
        assert len((await retriever.search(strict)).passages) == 3

        every = replace(query, top_k=7, max_per_document=1)
        whole = await explainer.explain(every)
        assert [one.left_out for one in whole.passages] == [*[None] * 6, LeftOut.FULL]
        assert [one.passage.id for one in whole.passages[:6]] == [
            one.id for one in (await retriever.search(every)).passages
        ]

        plain = await explainer.explain(replace(query, rerank=False))
        assert (plain.reranked, {one.rerank_score for one in plain.passages}) == (0, {None})
    finally:
        reranker.close()
    with pytest.raises(FailedPrecondition, match="has no cross-encoder"):
        await RerankingExplainer(service, {}).explain(query)
    with pytest.raises(FailedPrecondition, match="running server"):
        await service.explain(query)
