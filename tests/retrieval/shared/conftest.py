"""Gateways' index services over one PostgreSQL database and one vector engine."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest_asyncio

from tests.support.stores.postgres_server import PostgresServer
from tests.support.stores.state_stores import postgres
from trivet.retrieval.embedding.embedders import Embedders
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.index.index import DocumentIndex
from trivet.retrieval.passages.process.pool import SplittingPool
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import EmbeddingSettings, IndexSettings
from trivet.retrieval.snapshot.builder import InPlace
from trivet.retrieval.snapshot.resources import IndexResources
from trivet.stores.document_log import DocumentLog
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.shared import SharedCoordination, SharedDatabase
from trivet.stores.snapshot_catalogue import SnapshotCatalogue
from trivet.stores.vector_process import VectorProcess
from trivet.types.passage import Document, DocumentFormat, SearchQuery

__all__ = ["postgres"]

LIFE = 5.0  # seconds: a busy machine may keep this process from its beat for longer than a second
_names = itertools.count()


@dataclass
class SharedGateway:
    """What one gateway has of an index."""

    service: IndexService
    coordination: SharedCoordination
    database: SharedDatabase
    name: str

    @property
    def index(self) -> DocumentIndex:
        return self.service.indexes[self.name]

    async def put(self, id_: str, text: str) -> int:
        made = Document(id=id_, content=text.encode(), format=DocumentFormat.TEXT)
        return (await self.service.upsert(self.name, made)).revision

    async def found(self, question: str) -> dict[str, str]:
        result = await self.service.search(SearchQuery(self.name, question, "", 20))
        return {passage.document_id: passage.text for passage in result.passages}

    async def die(self) -> None:
        """As after SIGKILL: nothing is given up, and nothing is finished."""
        if self.coordination._beating is not None:
            self.coordination._beating.cancel()
        index = self.index
        await index._maintenance.close()
        await index._retained.close()


StartGateway = Callable[..., Awaitable[SharedGateway]]


@pytest_asyncio.fixture(loop_scope="module")
async def start_gateway(
    postgres: PostgresServer, engine: VectorProcess, embedder: OnnxEmbedder, settings: IndexSettings
) -> AsyncIterator[StartGateway]:
    """Starts gateways of one index, on a database of this test's own."""
    url, started = postgres.new_database(), list[SharedGateway]()
    store, splitting = QdrantStore(lambda: engine.endpoint), SplittingPool()

    async def always(_: EmbeddingSettings) -> OnnxEmbedder:
        return embedder

    async def start() -> SharedGateway:
        database = SharedDatabase.open(url, None)
        coordination = SharedCoordination(database, f"gateway{next(_names)}", beat=LIFE / 4, life=LIFE)
        await coordination.start()
        resources = IndexResources(
            store,
            DocumentLog(database, admit=coordination.admit),
            SnapshotCatalogue(database),
            Embedders(always),
            InPlace(store),
            splitting,
            coordination=coordination,
        )
        gateway = SharedGateway(
            IndexService(resources, {settings.name: settings}), coordination, database, settings.name
        )
        started.append(gateway)
        await gateway.service.start()
        return gateway

    yield start
    for gateway in started:
        await gateway.service.close()
        await gateway.coordination.close()
        gateway.database.close()
    splitting.close()
    await store.close()
