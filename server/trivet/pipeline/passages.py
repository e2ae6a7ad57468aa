"""Finding passages within retrieval's own deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from trivet.errors import RetrievalTimeout, RetrievalUnavailable
from trivet.metering.metrics import Metrics
from trivet.ports import Retriever
from trivet.types.metadata.where import Where
from trivet.types.passage import Expansion, Passage, SearchQuery, SearchResult
from trivet.types.variant import RetrievalSettings

QUERY_CUT = "query_cut"  # in `degraded`: the text was longer than what is searched with


def query_of(
    settings: RetrievalSettings,
    text: str,
    tenant: str,
    *,
    top_k: int | None = None,
    tags: Sequence[str] = (),
    expansion: Expansion | None = None,
    where: Where | None = None,
    more: Sequence[str] = (),
) -> SearchQuery:
    """The search of a variant; the others are the request's own, its tags and conditions beside the variant's."""
    return SearchQuery(
        index=settings.index,
        text=text,
        tenant=tenant,
        top_k=top_k or settings.top_k,
        min_score=settings.min_score,
        tags=tuple(dict.fromkeys((*settings.tags, *tags))),
        max_per_document=settings.max_per_document,
        rerank=settings.rerank,
        collapse=settings.collapse,
        expansion=settings.expansion if expansion is None else expansion,
        where=tuple(one for one in (settings.where, where) if one is not None),
        more=tuple(more),
    )


def retrieval_ends(now: float, own_deadline: float, client_deadline: float | None) -> float:
    """Until when all of a request's retrieval may last: its own deadline, or half of what the client left."""
    return now + (own_deadline if client_deadline is None else min(own_deadline, (client_deadline - now) / 2))


class BoundedRetriever:
    """Gives a search min(its own deadline, half of what the client left), and no more."""

    def __init__(self, retriever: Retriever, metrics: Metrics) -> None:
        self._retriever = retriever
        self._metrics = metrics

    async def search(self, query: SearchQuery, *, own_deadline: float, client_deadline: float | None) -> SearchResult:
        """Search. `own_deadline` in seconds, `client_deadline` a time of the event loop's clock.

        Raises RetrievalTimeout, RetrievalUnavailable, or NotFound for an unknown index.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        bound = own_deadline if client_deadline is None else min(own_deadline, (client_deadline - started) / 2)
        outcome = "error"
        try:
            async with asyncio.timeout(bound):
                result = await self._retriever.search(replace(query, deadline=started + bound))
            outcome = "ok" if result.passages else "empty"
            return replace(result, passages=with_surroundings(result.passages, result.around))
        except TimeoutError as error:
            outcome = "timeout"
            raise RetrievalTimeout(f"retrieval took longer than {bound * 1000:.0f} ms") from error
        except RetrievalUnavailable:
            outcome = "unavailable"
            raise
        finally:
            self._metrics.retrieval.labels(query.index, outcome).observe(loop.time() - started)


def with_surroundings(found: Sequence[Passage], around: Mapping[str, Sequence[Passage]]) -> tuple[Passage, ...]:
    """What was found, then what stands around it: the nearest of each first, so that a budget that ends leaves out
    those that are farthest. Nothing twice."""
    passages = {one.id: one for one in found}
    for distance in range(max((len(near) for near in around.values()), default=0)):
        for one in found:
            near = around.get(one.id, ())
            if distance < len(near):
                passages.setdefault(near[distance].id, near[distance])
    return tuple(passages.values())
