"""The index leg: the vector engine, the store in front of it, the embedding models, the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from trivet.app.documents import open_documents
from trivet.config import Config, IndexConfig
from trivet.metering.metrics import Metrics
from trivet.retrieval.embedding.cache import EmbeddingCache
from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.formats.pages.recognition import check_recognition
from trivet.retrieval.passages.limits import DocumentLimits
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import (
    CorpusSelection,
    CorpusSource,
    EmbeddingSettings,
    IndexSettings,
    Precision,
    RecencySettings,
)
from trivet.retrieval.snapshot import builder as snapshot_builder
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.retrieval.snapshot.turns import IndexTurns
from trivet.stores.collection_builder import CollectionBuilder
from trivet.stores.data_folder import DataFolder
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.qdrant.layout import CollectionLayout
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.vector_process import VectorProcess
from trivet.types.metadata.fields import FieldType
from trivet.types.text.encodings import codec_of
from trivet.types.text.path_pattern import PathPattern

_DAY = 86_400.0  # seconds


@asynccontextmanager
async def open_indexes(
    config: Config, folder: DataFolder, metrics: Metrics | None = None, *, replace_unusable: str = ""
) -> AsyncIterator[IndexService]:
    """The configured indexes, ready to search and to change; the embedded engine runs meanwhile.

    The live snapshot of the index named `replace_unusable` is made anew if its embedding model is gone.
    """
    images = config.file.documents.ocr is not None
    settings = {
        name: index_settings(name, index, folder.sources, images=images) for name, index in config.indexes.items()
    }
    async with AsyncExitStack() as stack:
        documents = await open_documents(stack, config, folder)
        store, builder = await stack.enter_async_context(_engine(config, folder, metrics))
        vectors = passage_cache(config, folder)
        stack.push_async_callback(vectors.close)
        embedders = Embedders(partial(OnnxEmbedder.open, cache=folder.cache / "embedding", vectors=vectors))
        stack.callback(embedders.close)
        limits, pool = await asyncio.to_thread(splitting_limits, config), config.file.documents
        splitting = SplittingPool(limits, processes=pool.processes, max_queued=pool.max_queued)
        stack.callback(splitting.close)
        stores = IndexResources(
            vectors=store,
            log=documents.log,
            catalogue=documents.catalogue,
            embedders=embedders,
            builder=builder,
            splitting=splitting,
            turns=IndexTurns.with_engine(owned=store.owned),
            coordination=documents.coordination,
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


def passage_cache(config: Config, folder: DataFolder) -> EmbeddingCache:
    """Vectors of passages, in the data folder."""
    return EmbeddingCache(folder.cache / "passages.sqlite", max_bytes=config.file.server.passage_cache_bytes)


def splitting_limits(config: Config) -> DocumentLimits:
    """What a document may take. Blocking where text is recognized: Tesseract is asked for its languages.

    Raises FailedPrecondition if it is not there, or has not all of them.
    """
    documents = config.file.documents
    languages = "" if documents.ocr is None else "+".join(documents.ocr.languages)
    return DocumentLimits(
        seconds=documents.max_seconds,
        memory=documents.max_memory_bytes,
        pages=documents.max_pages,
        characters=documents.max_characters,
        passages=documents.max_passages,
        unpacked=documents.max_unpacked_bytes,
        ocr_command="" if documents.ocr is None else check_recognition(documents.ocr.command, languages),
        ocr_languages=languages,
    )


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
) -> AsyncIterator[tuple[QdrantStore, snapshot_builder.SnapshotBuilder]]:
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
            yield store, snapshot_builder.InPlace(store)
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


def index_settings(name: str, index: IndexConfig, sources: Path, *, images: bool = False) -> IndexSettings:
    """The settings of one index, from its `index.yaml`. `sources`: where corpora that lie elsewhere are mirrored.
    `images`: pictures are documents, too."""
    file = index.file
    return IndexSettings(
        name=name,
        corpus=index.corpus if file.source is None else sources / name,
        source=None if file.source is None else _source(file.source.model_dump()),
        chunk_tokens=file.chunking.max_tokens,
        pack=file.chunking.pack,
        overlap=file.chunking.overlap,
        headings=file.chunking.headings,
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
            images=images,
        ),
        encoding=None if file.encoding is None else codec_of(file.encoding),
        fields={name: FieldType(type_) for name, type_ in file.fields.items()},
        recency=_recency(file.recency),
        correct_spelling=file.correct_spelling,
    )


def _source(fields: dict[str, Any]) -> CorpusSource:
    """Of the fields of an index.yaml's `source`."""
    return CorpusSource(**{**fields, "allow": tuple(fields["allow"]), "every": fields["every"] or 0.0})


def _recency(file: Any) -> RecencySettings | None:
    """Of an index.yaml's `recency`."""
    return None if file is None else RecencySettings(file.field, file.half_life_days * _DAY, file.weight)
