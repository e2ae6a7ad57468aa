"""A search without a generation: the passages that a Generate with the same text would be given."""

from __future__ import annotations

import asyncio

from trivet.errors import DeadlineExceeded, FailedPrecondition
from trivet.pipeline.admission import Admission
from trivet.pipeline.passages import QUERY_CUT, BoundedRetriever, query_of
from trivet.routing.table import RouteTable
from trivet.types.answer import RetrieveCall, RetrieveResult
from trivet.types.passage import QUERY_CHARACTERS
from trivet.types.variant import RetrievalSettings

INDEX_SEARCH_DURATION = 10.0


class SearchPipeline:
    """Routes a search to the index of the unit's variant."""

    def __init__(self, routes: RouteTable, retriever: BoundedRetriever, admission: Admission) -> None:
        self._routes = routes
        self._retriever = retriever
        self._admission = admission

    async def search(self, call: RetrieveCall) -> RetrieveResult:
        """Search within the caller's deadline, else the route's maximum.

        Raises FailedPrecondition if the variant searches no index; RetrievalUnavailable; DeadlineExceeded.
        """
        loop = asyncio.get_running_loop()
        settings, max_duration = self._settings(call)
        limit = call.arrived + max_duration
        deadline = limit if call.deadline is None else min(limit, call.deadline)
        try:
            async with asyncio.timeout_at(deadline), self._admission.enter(tokens=0, tenant=call.tenant):
                query = query_of(
                    settings,
                    call.text,
                    call.tenant,
                    top_k=call.top_k,
                    tags=call.tags,
                    expansion=call.expansion,
                    where=call.where,
                    more=call.more,
                )
                # Nothing is generated here, so the whole of the client's time is the search's.
                result = await self._retriever.search(query, own_deadline=deadline - loop.time(), client_deadline=None)
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed during the search") from error
        return RetrieveResult(
            passages=result.passages,
            index=settings.index,
            snapshot=result.snapshot,
            retrieval_ms=round((loop.time() - call.arrived) * 1000, 3),
            confidence=result.confidence,
            degraded=(
                *((QUERY_CUT,) if any(len(text) > QUERY_CHARACTERS for text in (call.text, *call.more)) else ()),
                *result.degraded,
            ),
        )

    def _settings(self, call: RetrieveCall) -> tuple[RetrievalSettings, float]:
        """How to search, and for how many seconds at most."""
        if call.index:
            return RetrievalSettings(call.index), INDEX_SEARCH_DURATION
        resolution = self._routes.resolve(call.route, call.unit_id)
        if resolution.variant.retrieval is None:
            raise FailedPrecondition(f"variant {resolution.variant.name!r} of {call.route!r} searches no index")
        return resolution.variant.retrieval, resolution.route.max_duration
