"""The index leg: the vector engine, the store in front of it, the embedding models, the service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from trivet.config import Config, IndexConfig
from trivet.metering.metrics import Metrics
from trivet.retrieval.embedding.cache import EmbeddingCache
from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.limits import DocumentLimits
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.service import IndexService, open_database
from trivet.retrieval.settings import CorpusSelection, EmbeddingSettings, IndexSettings, Precision
from trivet.retrieval.snapshot.builder import InPlace, SnapshotBuilder
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.retrieval.snapshot.turns import IndexTurns
from trivet.stores.collection_builder import CollectionBuilder
from trivet.stores.data_folder import DataFolder, refuse_without
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.qdrant.layout import CollectionLayout
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotCatalogue
from trivet.stores.vector_process import VectorProcess
from trivet.types.quota import Quota, Quotas
from trivet.types.text.encodings import codec_of
from trivet.types.text.path_pattern import PathPattern


@asynccontextmanager
async def open_indexes(
    config: Config, folder: DataFolder, metrics: Metrics | None = None, *, replace_unusable: str = ""
) -> AsyncIterator[IndexService]:
    """The configured indexes, ready to search and to change; the embedded engine runs meanwhile.

    The live snapshot of the index named `replace_unusable` is made anew if its embedding model is gone.
    """
    settings = {name: index_settings(name, index) for name, index in config.indexes.items()}
    refuse_without(folder.documents, [folder.vectors / "collections", folder.vectors / "set-aside"])
    async with AsyncExitStack() as stack:
        database = open_database(folder.documents)  # a damaged one is told before anything else is touched
        stack.callback(database.close)
        store, builder = await stack.enter_async_context(_engine(config, folder, metrics))
        vectors = passage_cache(config, folder)
        stack.push_async_callback(vectors.close)
        embedders = Embedders(partial(OnnxEmbedder.open, cache=folder.cache / "embedding", vectors=vectors))
        stack.callback(embedders.close)
        splitting = splitting_pool(config)
        stack.callback(splitting.close)
        stores = IndexResources(
            vectors=store,
            log=DocumentLog(database, _quotas(config)),
            catalogue=SnapshotCatalogue(database),
            embedders=embedders,
            builder=builder,
            splitting=splitting,
            turns=IndexTurns.with_engine(owned=store.owned),
        )
        service = IndexService(stores, settings)
        stack.push_async_callback(service.close)
        await service.start(replace_unusable=replace_unusable)
        if metrics is not None:
            for name, index in service.indexes.items():
                metrics.snapshot_lag.labels(name).set_function(partial(getattr, index, "lag"))
                metrics.repaired.labels(name).set_function(partial(getattr, index, "repaired"))
                metrics.unoptimised.labels(name).set_function(partial(getattr, index, "unoptimised"))
        yield service


def _quotas(config: Config) -> Quotas:
    section = config.file.quotas
    return Quotas(
        Quota(section.max_documents, section.max_bytes),
        {name: Quota(own.max_documents, own.max_bytes) for name, own in section.tenants.items()},
    )


def passage_cache(config: Config, folder: DataFolder) -> EmbeddingCache:
    """Vectors of passages, in the data folder."""
    return EmbeddingCache(folder.cache / "passages.sqlite", max_bytes=config.file.server.passage_cache_bytes)


def splitting_pool(config: Config) -> SplittingPool:
    """The processes that split documents, none started yet."""
    documents = config.file.documents
    limits = DocumentLimits(
        seconds=documents.max_seconds,
        memory=documents.max_memory_bytes,
        pages=documents.max_pages,
        characters=documents.max_characters,
        passages=documents.max_passages,
    )
    return SplittingPool(limits, processes=documents.processes, max_queued=documents.max_queued)


@asynccontextmanager
async def own_indexes(config: Config, *, replace_unusable: str = "") -> AsyncIterator[IndexService]:
    """The same without a server: owns the data folder meanwhile; DataFolderInUse if a server does."""
    folder = DataFolder.open(config.data_dir)
    try:
        async with open_indexes(config, folder, replace_unusable=replace_unusable) as service:
            yield service
    finally:
        folder.close()


@asynccontextmanager
async def _engine(
    config: Config, folder: DataFolder, metrics: Metrics | None
) -> AsyncIterator[tuple[QdrantStore, SnapshotBuilder]]:
    """The vector store, and where new snapshots are made."""
    qdrant = config.file.qdrant
    async with AsyncExitStack() as stack:
        if qdrant.url is not None:
            key = None if qdrant.api_key_file is None else config.resolve(qdrant.api_key_file).read_text().strip()
            layout = CollectionLayout(
                replicas=qdrant.replicas,
                shards=qdrant.shards,
                write_consistency=qdrant.write_consistency,
                int8=qdrant.quantization == "int8",
            )
            store = QdrantStore.remote(QdrantEndpoint(qdrant.url, qdrant.grpc_port, key), layout)
            stack.push_async_callback(store.close)
            yield store, InPlace(store)
            return
        restarted = (lambda: None) if metrics is None else metrics.vector_restarts.inc
        process = VectorProcess(folder.vectors, folder.logs / "vector.log", on_restart=restarted)
        stack.push_async_callback(process.stop)
        await process.start()
        if metrics is not None:
            metrics.vector_up.set_function(lambda: float(process.up))
        store = QdrantStore.embedded(lambda: process.endpoint)
        stack.push_async_callback(store.close)
        yield (
            store,
            CollectionBuilder(process, store, folder.building, folder.logs / "vector-builder.log", folder.foreign),
        )


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
        retain=file.retain,
        rebuild_after=file.rebuild_after,
        max_document_bytes=file.max_document_bytes,
        questions=index.folder / "questions.jsonl",
        selection=CorpusSelection(
            include=tuple(PathPattern.parse(pattern) for pattern in file.include),
            ignore=tuple(PathPattern.parse(pattern) for pattern in file.ignore),
            follow_links=file.follow_links,
            max_files=file.max_files,
        ),
        encoding=None if file.encoding is None else codec_of(file.encoding),
    )
