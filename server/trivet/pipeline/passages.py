"""Finding passages within retrieval's own deadline."""

from __future__ import annotations

import asyncio

from trivet.errors import RetrievalTimeout, RetrievalUnavailable
from trivet.metering.metrics import Metrics
from trivet.ports import Retriever
from trivet.types.passage import SearchQuery, SearchResult


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
                result = await self._retriever.search(query)
            outcome = "ok" if result.passages else "empty"
            return result
        except TimeoutError as error:
            outcome = "timeout"
            raise RetrievalTimeout(f"retrieval took longer than {bound * 1000:.0f} ms") from error
        except RetrievalUnavailable:
            outcome = "unavailable"
            raise
        finally:
            self._metrics.retrieval.labels(query.index, outcome).observe(loop.time() - started)
