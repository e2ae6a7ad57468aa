"""A real vector process per test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from tests.support.retrieval.vector_client import connect
from trivet.stores.vector_process import VectorProcess


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[VectorProcess]:
    """A vector process of this test's own."""
    process = VectorProcess(tmp_path / "vector", tmp_path / "vector.log", stop_timeout=5)
    await process.start()
    yield process
    await process.stop()


@pytest.fixture
async def client(process: VectorProcess) -> AsyncIterator[AsyncQdrantClient]:
    """Connected to it."""
    client = connect(process)
    yield client
    await client.close()
