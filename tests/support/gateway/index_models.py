"""The models of one index, without models: vectors and scores that can be told from the texts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import numpy as np

from trivet.errors import FailedPrecondition, InvalidRequest, NotFound
from trivet.types.answer import Embedded, Reranked, Vector

LENGTH = 4
MOST_WORDS = 100


class ScriptedIndexModels:
    """Implements `ports.IndexModels`. A vector tells how many characters its text has, and whether it is a question; a
    score, how many words of the question a text has. `delay`: seconds for each text."""

    def __init__(self, *indexes: str, reranking: Collection[str] = ()) -> None:
        self.indexes: Collection[str] = indexes
        self.delay = 0.0
        self.under_way = 0
        self._reranking = reranking

    def dimension(self, index: str) -> int:
        """The same for all."""
        if index not in self.indexes:
            raise NotFound(f"no index {index}")
        return LENGTH

    async def embed(self, index: str, texts: Sequence[str], tenant: str, as_queries: bool) -> Embedded:
        """One after the other."""
        long = {f"input[{n}]": "is too long" for n, text in enumerate(texts) if len(text.split()) > MOST_WORDS}
        if long:
            raise InvalidRequest(long)
        await self._take(texts)
        return Embedded(tuple(vector(text, as_queries) for text in texts), sum(len(text.split()) for text in texts))

    async def score(self, index: str, query: str, texts: Sequence[str], tenant: str) -> Reranked:
        """The same."""
        if index not in self._reranking:
            raise FailedPrecondition(f"no route reranks with index {index}")
        await self._take(texts)
        words = set(query.split())
        scores = tuple(len(words & set(text.split())) / len(words) for text in texts)
        return Reranked(scores, sum(len(text.split()) + len(words) for text in texts))

    async def _take(self, texts: Sequence[str]) -> None:
        self.under_way += 1
        try:
            for _ in texts:
                await asyncio.sleep(self.delay)
        finally:
            self.under_way -= 1


def vector(text: str, as_query: bool = False) -> Vector:
    """A text's."""
    return np.array([len(text), 0.1, -1e-7, float(as_query)], dtype=np.float32)
