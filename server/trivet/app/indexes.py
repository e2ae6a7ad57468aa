"""The index leg: the vector engine, the store in front of it, the embedding models, the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trivet.config import Config, IndexConfig
from trivet.metering.metrics import Metrics
from trivet.retrieval.service import IndexService, open_embedders
from trivet.retrieval.settings import EmbeddingSettings, IndexSettings, Precision
from trivet.stores.data_folder import DataFolder
from trivet.stores.qdrant import QdrantEndpoint, QdrantStore
from trivet.stores.vector_process import VectorProcess


@asynccontextmanager
async def open_indexes(
    config: Config, folder: DataFolder, metrics: Metrics | None = None
) -> AsyncIterator[IndexService]:
    """The configured indexes, ready to search and to change; the embedded engine runs meanwhile."""
    settings = {name: index_settings(name, index) for name, index in config.indexes.items()}
    async with _store(config, folder, metrics) as store:
        embedders = await open_embedders(settings.values(), folder.cache / "embedding")
        service = IndexService(store, embedders, settings)
        try:
            await service.start()
            yield service
        finally:
            await service.close()
            for embedder in embedders.values():
                embedder.close()


@asynccontextmanager
async def own_indexes(config: Config) -> AsyncIterator[IndexService]:
    """The same without a server: owns the data folder meanwhile; DataFolderInUse if a server does."""
    folder = DataFolder.open(config.data_dir)
    try:
        async with open_indexes(config, folder) as service:
            yield service
    finally:
        folder.close()


@asynccontextmanager
async def _store(config: Config, folder: DataFolder, metrics: Metrics | None) -> AsyncIterator[QdrantStore]:
    qdrant = config.file.qdrant
    if qdrant.url is not None:
        key = None if qdrant.api_key_file is None else config.resolve(qdrant.api_key_file).read_text().strip()
        store = QdrantStore.remote(QdrantEndpoint(qdrant.url, qdrant.grpc_port, key))
        try:
            yield store
        finally:
            await store.close()
        return
    process = VectorProcess(folder.vectors, folder.logs / "vector.log")
    try:
        await process.start()
        if metrics is not None:
            metrics.vector_up.set_function(lambda: float(process.up))
            metrics.vector_restarts.set_function(lambda: float(process.restarts))
        store = QdrantStore.embedded(lambda: process.address)
        try:
            yield store
        finally:
            await store.close()
    finally:
        await process.stop()


def index_settings(name: str, index: IndexConfig) -> IndexSettings:
    """The settings of one index, from its `index.yaml`."""
    file = index.file
    return IndexSettings(
        name=name,
        corpus=index.corpus,
        chunk_tokens=file.chunking.max_tokens,
        pack=file.chunking.pack,
        language=file.language,
        embedding=EmbeddingSettings(index.embedding_model, Precision(file.embedding.precision)),
        candidates=file.candidates,
        rrf_k=file.rrf_k,
    )
