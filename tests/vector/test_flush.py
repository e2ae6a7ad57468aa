"""When the write-ahead log is emptied."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import qdrant_edge as edge
from qdrant_client import grpc as proto

from trivet.vector import server
from trivet.vector.engine.collections import Collections


@pytest.fixture
def collections(tmp_path: Path) -> Collections:
    """One collection, `c`."""
    collections = Collections(tmp_path)
    vectors = proto.VectorsConfig(params=proto.VectorParams(size=2, distance=proto.Distance.Dot))
    collections.create(proto.CreateCollection(collection_name="c", vectors_config=vectors))
    return collections


def write(collections: Collections) -> None:
    collections["c"].update(edge.UpdateOperation.upsert_points([edge.Point(1, [0.5, 0.5], {})]))


async def test_a_flush_waits_for_a_pause_between_calls(
    collections: Collections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_IDLE", 0.1)
    write(collections)
    flushing = asyncio.create_task(server._flush_when_idle(collections))
    for _ in range(30):
        assert collections["c"].unflushed == 1, "flushed under load"
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert collections.unflushed == 0
    flushing.cancel()
    collections.close()


async def test_a_log_that_has_grown_long_is_flushed_under_load(
    collections: Collections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_IDLE", 0.02)
    monkeypatch.setattr(server, "_MOST_UNFLUSHED", 10)
    flushing = asyncio.create_task(server._flush_when_idle(collections))
    most = 0
    for _ in range(100):
        write(collections)
        most = max(most, collections.unflushed)
        await asyncio.sleep(0.002)
    assert 10 <= most < 90
    flushing.cancel()
    collections.close()
