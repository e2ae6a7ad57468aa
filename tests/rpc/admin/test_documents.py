"""Documents over a real listener: whose they may be, and one acknowledgement for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import failure
from tests.support.retrieval.memory_indexes import MemoryIndexes
from trivet.api.v1 import admin_pb2, admin_pb2_grpc
from trivet.types.passage import Document, DocumentFormat
from trivet.types.request import KeyRole

KEYS = {"acme": KeyRole.CLIENT, "bolt": KeyRole.CLIENT, "staff": KeyRole.OPERATOR}


@pytest.fixture
def memory() -> MemoryIndexes:
    return MemoryIndexes()


@pytest_asyncio.fixture
async def stub(memory: MemoryIndexes) -> AsyncIterator[admin_pb2_grpc.AdminStub]:
    async with admin_stub(indexes=memory, keys=KEYS) as stub:
        yield stub


def request(document_id: str, tenant: str = "", **fields: Any) -> admin_pb2.UpsertDocumentsRequest:
    document = admin_pb2.Document(**{"id": document_id, "tenant": tenant, "content": b"x", **fields})
    return admin_pb2.UpsertDocumentsRequest(index="facts", document=document)


def key(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


async def upsert(
    stub: admin_pb2_grpc.AdminStub, secret: str, *requests: admin_pb2.UpsertDocumentsRequest
) -> list[tuple[str, str]]:
    """(id, the code of its error) of each acknowledgement."""
    call = stub.UpsertDocuments(iter(requests), metadata=key(secret))
    return [(answer.id, answer.error.code) async for answer in call]


async def test_an_operator_names_anybody(stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes) -> None:
    requests = [request("a"), request("a", "acme"), request("a", "bolt")]
    assert await upsert(stub, "staff", *requests) == [("a", "")] * 3
    assert set(memory.kept) == {("", "a"), ("acme", "a"), ("bolt", "a")}
    gone = await stub.DeleteDocuments(
        admin_pb2.DeleteDocumentsRequest(index="facts", ids=["a", "b", "b"], tenant="acme"), metadata=key("staff")
    )
    assert (list(gone.deleted), list(gone.missing)) == (["a"], ["b"])
    assert set(memory.kept) == {("", "a"), ("bolt", "a")}


async def test_the_log_says_who_sent_and_deleted(
    stub: admin_pb2_grpc.AdminStub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "trivet.rpc.admin.changes")
    await upsert(stub, "acme", request("a"), request("b"), request("c", content=b""))
    deletion = admin_pb2.DeleteDocumentsRequest(index="facts", ids=["a", "z"])
    await stub.DeleteDocuments(deletion, metadata=key("acme"))
    assert [record.getMessage() for record in caplog.records] == [
        "key acme of tenant acme sent documents to index 'facts': 2 taken, 1 refused",
        "key acme of tenant acme deleted 1 documents of index facts",
    ]


async def test_a_client_changes_its_own_alone(stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes) -> None:
    await upsert(stub, "staff", request("a"), request("a", "bolt"))
    before = dict(memory.kept)
    found = await upsert(stub, "acme", request("b"), request("c", "bolt"), request("d", "acme"))
    assert found == [("b", ""), ("c", "PERMISSION_DENIED"), ("d", "")]
    assert memory.kept.keys() - before.keys() == {("acme", "b"), ("acme", "d")}
    # Shared documents and others' look as if they were not there.
    gone = await stub.DeleteDocuments(
        admin_pb2.DeleteDocumentsRequest(index="facts", ids=["a", "b"]), metadata=key("acme")
    )
    assert (list(gone.deleted), list(gone.missing)) == (["b"], ["a"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.DeleteDocuments(
            admin_pb2.DeleteDocumentsRequest(index="facts", ids=["a"], tenant="bolt"), metadata=key("acme")
        )
    assert failure(caught.value).code == "PERMISSION_DENIED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.DeleteDocuments(
            admin_pb2.DeleteDocumentsRequest(index="facts", ids=["a"], tenant="A B"), metadata=key("staff")
        )
    assert failure(caught.value).fields.keys() == {"tenant"}
    assert before.items() <= memory.kept.items()


async def test_other_calls_still_need_an_operator(stub: admin_pb2_grpc.AdminStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListIndexes(admin_pb2.ListIndexesRequest(), metadata=key("acme"))
    assert failure(caught.value).code == "PERMISSION_DENIED"
    # Nothing is sent: a message that meets the end of the call would make grpc's own client report a cancellation.
    for call in (upsert(stub, "nobody"), upsert(stub, "")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert failure(caught.value).code == "UNAUTHENTICATED"


async def test_a_refused_document_is_acknowledged_as_such_and_the_stream_goes_on(
    stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes
) -> None:
    call = stub.UpsertDocuments(
        iter([request("a"), request("b", content=b""), request("c", format=77), request("d")]), metadata=key("staff")
    )
    answers = [answer async for answer in call]
    assert [answer.HasField("error") for answer in answers] == [False, True, True, False]
    refused = answers[1]
    assert (refused.id, refused.revision) == ("b", 0)
    assert (refused.error.code, refused.error.reason) == ("INVALID_ARGUMENT", "DOCUMENT_REJECTED")
    assert refused.error.message == "document 'b' is empty"
    assert "format 77" in answers[2].error.message


async def test_a_large_document_out_of_bounds_is_acknowledged_as_refused_too(
    stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes
) -> None:
    crowded = request("a", content=b"x" * 400_000, tags=["t"] * 65)
    call = stub.UpsertDocuments(iter([crowded, request("b")]), metadata=key("staff"))
    answers = [answer async for answer in call]
    assert [answer.HasField("error") for answer in answers] == [True, False]
    assert "expected at most 64, got 65" in answers[0].error.message
    assert set(memory.kept) == {("", "b")}


@pytest.mark.parametrize(("index", "content", "code"), [("nope", b"x", "NOT_FOUND"), ("", b"down", "UNAVAILABLE")])
async def test_what_is_no_documents_fault_ends_the_stream(
    stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes, index: str, content: bytes, code: str
) -> None:
    second = admin_pb2.UpsertDocumentsRequest(index=index, document=admin_pb2.Document(id="b", content=content))
    call = stub.UpsertDocuments(iter([request("a"), second, request("c")]), metadata=key("staff"))
    answers = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for answer in call:
            answers.append(answer.id)
    assert (answers, failure(caught.value).code) == (["a"], code)
    assert set(memory.kept) == {("", "a")}


async def test_fields_arrive(stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes) -> None:
    sent = request("a", format=admin_pb2.DOCUMENT_FORMAT_PDF, title="T", source="s.md", tags=["x"])
    sent.document.valid_from.FromMicroseconds(1_500_000)
    await upsert(stub, "staff", sent, request("b", source="manual.PDF"))
    assert memory.kept["", "a"] == Document(
        "a", b"x", DocumentFormat.PDF, "T", "s.md", ("x",), "", valid_from=1.5, valid_until=None
    )
    assert memory.kept["", "b"].format is DocumentFormat.PDF


@pytest.mark.parametrize(("seconds", "nanos"), [(2**63 - 1, 0), (-(2**63), 0), (0, -1), (0, 1_000_000_000)])
async def test_a_time_that_is_none_is_acknowledged_as_refused(
    stub: admin_pb2_grpc.AdminStub, memory: MemoryIndexes, seconds: int, nanos: int
) -> None:
    time = Timestamp(seconds=seconds, nanos=nanos)
    for field in ("valid_from", "valid_until"):
        asked = request("a")
        getattr(asked.document, field).CopyFrom(time)
        (answer,) = [item async for item in stub.UpsertDocuments(iter([asked]), metadata=key("acme"))]
        assert answer.error.code == "INVALID_ARGUMENT"
        assert answer.error.message.startswith(f"{field}: expected a time from the year 1 to 9999")
    assert not memory.kept
