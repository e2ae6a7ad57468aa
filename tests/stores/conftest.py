"""The same store over each engine that can be had: the embedded one, the client's local mode, a server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.retrieval.qdrant_engines import (
    DIMENSION,
    EMBEDDED,
    LOCAL,
    LOCAL_CANNOT,
    SERVER,
    LocalConnection,
    server_endpoint,
)
from trivet.stores.qdrant.connection import QdrantEndpoint
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.vector_process import VectorProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VectorProcess]:
    """A vector process."""
    folder = tmp_path_factory.mktemp("engine")
    process = VectorProcess(folder / "vector", folder / "vector.log")
    await process.start()
    yield process
    await process.stop()


@pytest_asyncio.fixture(params=[EMBEDDED, LOCAL, SERVER], loop_scope="module")
async def store(request: pytest.FixtureRequest, process: VectorProcess) -> AsyncIterator[QdrantStore]:
    """One store per engine."""
    if request.param == LOCAL:
        reason = LOCAL_CANNOT.get(request.node.originalname)
        if reason is not None:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        store = QdrantStore(lambda: QdrantEndpoint("local"))
        store._connection = LocalConnection()
    elif request.param == SERVER:
        store = QdrantStore.remote(server_endpoint())
    else:
        store = QdrantStore.embedded(lambda: process.endpoint)
    store._search_timeout = 30.0  # of promises, not of speed
    yield store
    await store.close()


@pytest_asyncio.fixture(loop_scope="module")
async def collection(store: QdrantStore) -> AsyncIterator[str]:
    """An empty collection of this test's own."""
    name = f"contract-{uuid.uuid4().hex}"
    await store.ensure(name, DIMENSION)
    yield name
    await store.drop(name)
