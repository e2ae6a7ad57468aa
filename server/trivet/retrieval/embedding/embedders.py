"""The embedding models in use: those of the configuration, and those of snapshots that were made with others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.settings import EmbeddingSettings


class Embedders:
    """Opens each model when it is first asked for; for one event loop."""

    def __init__(self, open_: Callable[[EmbeddingSettings], Awaitable[OnnxEmbedder]]) -> None:
        """`open_` raises FailedPrecondition for a model that is not there or cannot be used."""
        self._open = open_
        self._opened: dict[EmbeddingSettings, OnnxEmbedder] = {}
        self._opening = asyncio.Lock()

    async def get(self, settings: EmbeddingSettings) -> OnnxEmbedder:
        """The model; raises FailedPrecondition."""
        async with self._opening:
            if settings not in self._opened:
                self._opened[settings] = await self._open(settings)
            return self._opened[settings]

    def close(self) -> None:
        """Close all of them."""
        for embedder in self._opened.values():
            embedder.close()
        self._opened.clear()
