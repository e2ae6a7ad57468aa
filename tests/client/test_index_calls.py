"""What looks into indexes answers the same to both clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.gateway.index_gateway import CLIENT, INDEX, index_gateway
from trivet.api.v1 import admin_pb2
from trivet.client import AsyncClient, CallFailed, Client

pytestmark = pytest.mark.embedding


def upserts() -> list[admin_pb2.UpsertDocumentsRequest]:
    texts = {"lamp": "The lamp weighs 12 grams.", "hub": "The hub weighs 80 grams."}
    return [
        admin_pb2.UpsertDocumentsRequest(index=INDEX, document=admin_pb2.Document(id=id_, content=text.encode()))
        for id_, text in texts.items()
    ]


async def test_both_clients_explain_searches_and_list_documents(tmp_path: Path, embedding_cache: Path) -> None:
    explained = admin_pb2.ExplainSearchRequest(index=INDEX, text="weight of the lamp", top_k=1)
    async with index_gateway(tmp_path, embedding_cache) as gateway:

        def with_threads() -> tuple[admin_pb2.ExplainSearchResponse, list[admin_pb2.DocumentSummary]]:
            with Client(gateway.target()) as client:
                assert len(list(client.upsert_documents(upserts()))) == 2
                return client.explain_search(explained), list(client.list_documents(INDEX))

        search, documents = await asyncio.to_thread(with_threads)
        assert [(one.document_id, bool(one.left_out)) for one in search.passages] == [("lamp", False), ("hub", True)]
        async with AsyncClient(gateway.target()) as client:
            assert await client.explain_search(explained) == search
            assert [one async for one in client.list_documents(INDEX)] == documents
            assert {one.id for one in documents} == {"lamp", "hub"}
            async for one in client.list_documents(INDEX):
                assert one.id == documents[0].id
                break  # what is not read to its end is given up
            with pytest.raises(CallFailed) as failed:
                await client.explain_search(admin_pb2.ExplainSearchRequest(index=INDEX, text="lamp", rerank=True))
            assert failed.value.code == "FAILED_PRECONDITION"
            with pytest.raises(CallFailed) as failed:
                _ = [one async for one in client.list_documents("nowhere")]
            assert failed.value.code == "NOT_FOUND"
        async with AsyncClient(gateway.target(CLIENT)) as other:
            with pytest.raises(CallFailed) as failed:
                await other.explain_search(explained)
            assert failed.value.code == "PERMISSION_DENIED"
