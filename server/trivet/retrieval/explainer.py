"""How a search came about whose order is a cross-encoder's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from trivet.ports import SearchExplainer
from trivet.retrieval.rerank.rerank import Reranker, reranker_of, widened
from trivet.types.passage import ExplainedPassage, LeftOut, SearchExplanation, SearchQuery


class RerankingExplainer:
    """Implements the SearchExplainer port around another one, for queries that ask for a cross-encoder."""

    def __init__(self, searches: SearchExplainer, rerankers: Mapping[str, Reranker]) -> None:
        """`rerankers` by index."""
        self._searches = searches
        self._rerankers = rerankers

    async def explain(self, query: SearchQuery) -> SearchExplanation:
        """What the cross-encoder reads has its score besides the fused one, in the order of the answer.

        Nobody waits for it shorter than it takes, so that all of them have a score. Raises what the search raises.
        """
        if not query.rerank:
            return await self._searches.explain(query)
        reranker = reranker_of(self._rerankers, query.index)
        told = await self._searches.explain(widened(query, reranker.candidates))
        read = [one for one in told.passages if one.left_out is None]
        scores = await reranker.scores(query.asked, [one.passage for one in read], query.tenant)
        scored = sorted(zip(scores, read, strict=True), key=lambda pair: -pair[0])  # stable, as the search's
        ranked = list(_ranked([replace(one, rerank_score=score) for score, one in scored], query))
        answer, others = ([one for one in ranked if (one.left_out is not None) is out] for out in (False, True))
        unread = [_unread(one) for one in told.passages if one.left_out is not None]
        return replace(told, passages=(*answer, *others, *unread), reranked=len(read))


def _ranked(scored: Sequence[ExplainedPassage], query: SearchQuery) -> Iterator[ExplainedPassage]:
    """Best first; what is not in the answer with its reason."""
    found, of_document = 0, Counter[tuple[str, str]]()
    for one in scored:
        passage = one.passage
        document = passage.id.removesuffix(passage.id.rpartition("@")[2]), passage.document_id
        if one.rerank_score is not None and one.rerank_score < query.min_score:
            yield replace(one, left_out=LeftOut.BELOW)
        elif query.max_per_document and of_document[document] >= query.max_per_document:
            yield replace(one, left_out=LeftOut.FULL)
        elif found == query.top_k:
            yield replace(one, left_out=LeftOut.BEYOND)
        else:
            found += 1
            of_document[document] += 1
            yield one


def _unread(one: ExplainedPassage) -> ExplainedPassage:
    """What the search does not hand on has its own reason, but for what only others come before."""
    return replace(one, left_out=LeftOut.UNREAD) if one.left_out is LeftOut.BEYOND else one
