"""Streams of the Admin service whose client reads nothing: they end, and with them what they keep from others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import pytest

from tests.support.gateway.admin_stub import admin_stub
from tests.support.retrieval.memory_indexes import MemoryIndexes
from trivet.api.v1 import admin_pb2, admin_pb2_grpc
from trivet.types.passage import Acknowledgement, BuildProgress, Document, DocumentSummary

_LONG = "a" * 1000


class EndlessIndexes(MemoryIndexes):
    """Has always more to tell. `ended`: set when nobody is told any more."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.taken = 0

    async def build(self, index: str, *, rebuild: bool = False, strict: bool = False) -> AsyncGenerator[BuildProgress]:
        try:
            while True:
                await asyncio.sleep(0)
                yield BuildProgress("embed", 1, 2, _LONG)
        finally:
            self.ended.set()

    async def upsert(self, index: str, document: Document) -> Acknowledgement:
        self.taken += 1
        return Acknowledgement(document.id, 1, False, 1)

    async def documents(self, index: str) -> AsyncGenerator[Sequence[DocumentSummary]]:
        try:
            while True:
                await asyncio.sleep(0)
                yield [DocumentSummary(_LONG, "", 1, _LONG, "", 0.0, None, 1, "")]
        finally:
            self.ended.set()


Start = Callable[[admin_pb2_grpc.AdminStub], Any]
STREAMS: dict[str, Start] = {
    "build": lambda stub: stub.BuildIndex(admin_pb2.BuildIndexRequest(index="facts")),
    "documents": lambda stub: stub.ListDocuments(admin_pb2.ListDocumentsRequest(index="facts")),
    "acknowledgements": lambda stub: stub.UpsertDocuments(_uploads()),
}


async def _uploads() -> AsyncIterator[admin_pb2.UpsertDocumentsRequest]:
    while True:
        await asyncio.sleep(0)
        yield admin_pb2.UpsertDocumentsRequest(index="facts", document=admin_pb2.Document(id="a" * 200, content=b"a"))


async def none_taken_for_a_second(indexes: EndlessIndexes) -> None:
    """Returns when no document has been taken for a second: the server waits for 0.5 s."""
    before = -1
    while indexes.taken != before:
        before = indexes.taken
        await asyncio.sleep(1)


@pytest.mark.parametrize("name", STREAMS)
async def test_a_stream_that_is_not_read_ends(name: str) -> None:
    indexes = EndlessIndexes()
    async with admin_stub(indexes=indexes) as stub:
        call = STREAMS[name](stub)
        async with asyncio.timeout(60):
            if name == "acknowledgements":
                await none_taken_for_a_second(indexes)
            else:
                await indexes.ended.wait()
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                async for _ in call:
                    pass
    assert raised.value.code() is grpc.StatusCode.ABORTED
    assert "did not read its stream for 0.5 s" in str(raised.value.details())
