"""Documents that are sent in pieces, over a real listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import LIMITS, failure
from trivet.api.v1 import admin_pb2, admin_pb2_grpc
from trivet.client import PIECE_BYTES, in_pieces
from trivet.errors import NotFound
from trivet.retrieval.documents.documents import check_document
from trivet.rpc.uploads import UnfinishedUploads
from trivet.types.passage import Acknowledgement, Document
from trivet.types.request import KeyRole

KEYS = {"acme": KeyRole.CLIENT, "bolt": KeyRole.CLIENT, "staff": KeyRole.OPERATOR}
LARGEST = 32 << 20
Stub = admin_pb2_grpc.AdminStub
Request = admin_pb2.UpsertDocumentsRequest


class Shelf:
    """Documents by id, each of at most `most` bytes."""

    def __init__(self, most: int = LARGEST) -> None:
        self.most = most
        self.documents: dict[str, Document] = {}

    def max_document_bytes(self, index: str) -> int:
        if index != "facts":
            raise NotFound(f"no index {index!r}")
        return self.most

    async def upsert(self, index: str, document: Document) -> Acknowledgement:
        check_document(document, self.max_document_bytes(index))
        self.documents[document.id] = document
        return Acknowledgement(document.id, 1, False, 1)


@asynccontextmanager
async def served(shelf: Shelf, *, most: int = 16, idle: float = 30.0) -> AsyncIterator[tuple[Stub, UnfinishedUploads]]:
    uploads = UnfinishedUploads(most, idle)
    async with admin_stub(indexes=shelf, keys=KEYS, uploads=uploads) as stub:
        yield stub, uploads


def whole(document_id: str, content: bytes, **fields: Any) -> Request:
    return Request(index="facts", document=admin_pb2.Document(id=document_id, content=content, **fields))


def begun(document_id: str, content: bytes = b"", **fields: Any) -> Request:
    return Request(index="facts", document=admin_pb2.Document(id=document_id, content=content, **fields), more=True)


def piece(content: bytes, *, more: bool = True) -> Request:
    return Request(content=content, more=more)


async def upsert(stub: Stub, requests: Iterable[Request], secret: str = "staff") -> list[tuple[str, str]]:
    """(id, what was wrong) of each acknowledgement."""
    call = stub.UpsertDocuments(iter(requests), metadata=(("authorization", f"Bearer {secret}"),))
    return [(answer.id, answer.error.message) async for answer in call]


def open_upload(stub: Stub, secret: str = "staff") -> Any:
    return stub.UpsertDocuments(metadata=(("authorization", f"Bearer {secret}"),))


async def test_a_document_larger_than_a_message_arrives_whole_with_one_acknowledgement() -> None:
    shelf = Shelf()
    content = "".join(f"line {number}: größer\n" for number in range(1_430_000)).encode()
    assert 30 << 20 < len(content) < LARGEST
    assert len(content) > LIMITS.max_message_bytes
    sent = list(in_pieces(whole("big", content, title="Big", tags=["t"])))
    assert len(sent) == -(-len(content) // PIECE_BYTES)
    async with served(shelf) as (stub, _):
        assert await upsert(stub, [whole("a", b"x"), *sent, whole("b", b"y")]) == [("a", ""), ("big", ""), ("b", "")]
    assert shelf.documents["big"].content == content
    assert (shelf.documents["big"].title, shelf.documents["big"].tags) == ("Big", ("t",))
    assert list(in_pieces(whole("a", b"x"))) == [whole("a", b"x")]


async def test_one_that_is_too_large_is_refused_with_the_limit_and_the_stream_goes_on() -> None:
    shelf = Shelf(most=100)
    async with served(shelf) as (stub, uploads):
        rest = [piece(b"x" * 60), piece(b"x" * 60), piece(b"x" * 60, more=False)]
        first, (last, problem), second = await upsert(stub, [whole("a", b"x"), begun("big"), *rest, whole("b", b"y")])
        assert (first, second) == (("a", ""), ("b", ""))
        assert last == "big"
        assert "has 120 bytes, expected at most 100" in problem
        # Whoever reads the refusal may leave out what is left.
        found = await upsert(stub, [begun("big"), piece(b"x" * 101), whole("c", b"z")])
        assert [one for one, _ in found] == ["big", "c"]
        uploads.begin("staff")  # all places are free again
    assert set(shelf.documents) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"document_id": "a#b"}, "document id 'a#b'"),
        ({"document_id": "a", "tags": [""]}, "tag ''"),
        ({"document_id": "a", "tenant": "A B"}, "tenant 'A B'"),
        ({"document_id": "a", "format": 77}, "format 77"),
    ],
)
async def test_what_is_wrong_with_the_first_message_is_told_before_the_pieces_come(
    wrong: dict[str, Any], problem: str
) -> None:
    shelf = Shelf()
    async with served(shelf) as (stub, _):
        call = open_upload(stub)
        await call.write(begun(**wrong))
        answer = await call.read()
        assert problem in answer.error.message
        for request in (piece(b"x"), piece(b"y", more=False), whole("good", b"x")):
            await call.write(request)
        assert (await call.read()).id == "good"
        await call.done_writing()
    assert set(shelf.documents) == {"good"}


async def test_a_client_sends_its_own_in_pieces_and_nobody_elses() -> None:
    shelf = Shelf()
    async with served(shelf) as (stub, _):
        found = await upsert(
            stub,
            [begun("a", b"x", tenant="bolt"), piece(b"y", more=False), begun("b", b"x"), piece(b"y", more=False)],
            "acme",
        )
    assert [one for one, _ in found] == ["a", "b"]
    assert "operator key" in found[0][1]
    assert shelf.documents.keys() == {"b"}
    assert (shelf.documents["b"].tenant, shelf.documents["b"].content) == ("acme", b"xy")


@pytest.mark.parametrize("aborted", ["cancelled", "ended"])
async def test_an_upload_that_breaks_off_leaves_nothing(aborted: str) -> None:
    shelf = Shelf()
    async with served(shelf, most=1) as (stub, uploads):
        call = open_upload(stub)
        await call.write(begun("half", b"x" * 1000))
        async with asyncio.timeout(60):
            while not uploads._by_tenant["staff"]:
                await asyncio.sleep(0.01)
            if aborted == "cancelled":
                call.cancel()
            else:
                await call.done_writing()
                assert await call.read() is grpc.aio.EOF
            while uploads._by_tenant["staff"]:
                await asyncio.sleep(0.01)
        assert await upsert(stub, [begun("b", b"x"), piece(b"y", more=False)]) == [("b", "")]
    assert set(shelf.documents) == {"b"}


async def failed(stub: Stub, requests: Sequence[Request], secret: str = "staff") -> tuple[str, str, float | None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await upsert(stub, requests, secret)
    told = failure(caught.value)
    return told.code, told.message, told.retry_after


async def test_unfinished_documents_are_bounded_and_a_tenant_has_a_quarter() -> None:
    async with served(Shelf(), most=4) as (stub, _):
        half = []
        for secret in ("acme", "bolt", "staff"):
            half.append(open_upload(stub, secret))
            await half[-1].write(begun("half", b"x"))
            await half[-1].write(whole_after_half := piece(b"x"))
            assert whole_after_half.more
        await asyncio.sleep(0.2)
        code, message, retry = await failed(stub, [begun("more", b"x")], "acme")
        assert (code, retry) == ("RESOURCE_EXHAUSTED", 1.0)
        assert "too many unfinished documents of one tenant" in message
        assert await upsert(stub, [whole("a", b"x")], "acme") == [("a", "")]
        for call in half:
            call.cancel()


async def test_a_piece_that_does_not_come_ends_the_stream() -> None:
    async with served(Shelf(), idle=0.2) as (stub, _):
        call = open_upload(stub)
        await call.write(whole("a", b"x"))
        assert (await call.read()).id == "a"
        await asyncio.sleep(0.5)  # between documents there is no hurry
        await call.write(begun("b", b"x"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert failure(caught.value).code == "DEADLINE_EXCEEDED"
        assert "no further piece" in failure(caught.value).message


@pytest.mark.parametrize(
    ("requests", "problem"),
    [
        ([piece(b"x")], "index: is empty"),
        ([Request(index="facts", content=b"x")], "no document has been begun"),
        ([begun("a"), whole("b", b"x")], "begins before the one before it is whole"),
        ([Request(index="facts", document=admin_pb2.Document(id="a"), content=b"x")], "content: is for the pieces"),
    ],
)
async def test_messages_out_of_order_end_the_stream(requests: list[Request], problem: str) -> None:
    async with served(Shelf()) as (stub, _):
        code, message, _ = await failed(stub, requests)
        assert code == "INVALID_ARGUMENT"
        assert problem in message
