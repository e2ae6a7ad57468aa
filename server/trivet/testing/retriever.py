"""A retriever without an engine."""

from __future__ import annotations

import asyncio

from trivet.types.passage import Passage, SearchQuery, SearchResult


class ScriptedRetriever:
    """Implements `ports.Retriever`: after `delay` seconds the same passages, or `failure`."""

    def __init__(self, passages: tuple[Passage, ...] = (), *, delay: float = 0.0) -> None:
        self.passages = passages
        self.delay = delay
        self.failure: Exception | None = None
        self.queries: list[SearchQuery] = []

    async def search(self, query: SearchQuery) -> SearchResult:
        """The first `top_k` passages."""
        self.queries.append(query)
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        return SearchResult(self.passages[: query.top_k], "scripted")
