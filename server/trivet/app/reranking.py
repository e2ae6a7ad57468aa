"""The cross-encoders that routes ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from trivet.config import Config
from trivet.retrieval.rerank.rerank import Reranker, RerankSettings
from trivet.stores.data_folder import DataFolder


@asynccontextmanager
async def open_rerankers(config: Config, folder: DataFolder) -> AsyncIterator[Mapping[str, Reranker]]:
    """By index. Models that no route asks for are not opened."""
    wanted = {
        variant.retrieval.index
        for route in config.routes.values()
        for variant in route.variants.values()
        if variant.retrieval is not None and variant.retrieval.rerank
    }
    async with AsyncExitStack() as stack:
        rerankers: dict[str, Reranker] = {}
        for name in sorted(wanted):
            index = config.indexes[name]
            model, rerank = index.rerank_model, index.file.rerank
            assert model is not None
            assert rerank is not None
            settings = RerankSettings(model, rerank.candidates, rerank.precision)
            rerankers[name] = await Reranker.open(settings, folder.cache / "rerank")
            stack.callback(rerankers[name].close)
        yield rerankers
