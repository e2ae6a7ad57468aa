"""A real vector process and the real embedding model, shared by the tests of a module."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.service import IndexService, open_database
from trivet.retrieval.settings import EmbeddingSettings, IndexSettings
from trivet.retrieval.snapshot.builder import InPlace
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.snapshot_catalogue import SnapshotCatalogue
from trivet.stores.sqlite import Database
from trivet.stores.vector_process import VectorProcess

MakeService = Callable[..., Awaitable[IndexService]]
OpenStores = Callable[..., IndexResources]
_numbers = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder(embedding_cache: Path) -> AsyncIterator[OnnxEmbedder]:
    """The default model."""
    embedder = await OnnxEmbedder.open(EmbeddingSettings(), embedding_cache)
    yield embedder
    embedder.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VectorProcess]:
    """A vector process."""
    folder = tmp_path_factory.mktemp("engine")
    process = VectorProcess(folder / "vector", folder / "vector.log")
    await process.start()
    yield process
    await process.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(engine: VectorProcess) -> AsyncIterator[QdrantStore]:
    """Connected to it."""
    store = QdrantStore.embedded(lambda: engine.endpoint)
    yield store
    await store.close()


@pytest.fixture
def settings(tmp_path: Path) -> IndexSettings:
    """An index of this test's own, without any documents."""
    (tmp_path / "corpus").mkdir()
    return IndexSettings(name=f"index{next(_numbers)}", corpus=tmp_path / "corpus", chunk_tokens=60, pack=False)


@pytest.fixture
def open_stores(store: QdrantStore, embedder: OnnxEmbedder, tmp_path: Path) -> Iterator[OpenStores]:
    """Opens the same document log, with the module's engine and model."""
    databases: list[Database] = []
    splitting = SplittingPool()

    async def always(_: EmbeddingSettings) -> OnnxEmbedder:
        return embedder

    def opened(vectors: QdrantStore = store) -> IndexResources:
        database = open_database(tmp_path / "documents.sqlite")
        databases.append(database)
        log, catalogue = DocumentLog(database), SnapshotCatalogue(database)
        return IndexResources(vectors, log, catalogue, Embedders(always), InPlace(vectors), splitting)

    yield opened
    for database in databases:
        database.close()
    splitting.close()


@pytest_asyncio.fixture(loop_scope="module")
async def make_service(open_stores: OpenStores, settings: IndexSettings) -> AsyncIterator[MakeService]:
    """Makes services of one index, `handbook`, whose settings can be changed; all on the same data."""
    made: list[IndexService] = []

    async def make(**changes: object) -> IndexService:
        changed = replace(settings, **changes)  # type: ignore[arg-type]
        service = IndexService(open_stores(), {"handbook": changed})
        made.append(service)
        await service.start()
        return service

    yield make
    for service in made:
        await service.close()


@pytest_asyncio.fixture(loop_scope="module")
async def service(make_service: MakeService) -> IndexService:
    """A service of one empty index, `handbook`."""
    return await make_service()
