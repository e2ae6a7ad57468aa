"""Every field of a request is bounded: in the table, in the contract's words, and before anything else is done."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc_tools
import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.struct_pb2 import Struct
from grpc_tools import protoc

from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import Failure, Gateway, failure, gateway, request
from trivet.api.v1 import admin_pb2, inference_pb2, rollout_pb2
from trivet.errors import InvalidRequest
from trivet.rpc.messages.bounds import BOUNDS, Bound, check_bounds, is_large
from trivet.types.request import KeyRole
from trivet.types.variant import StreamPace

PACKAGE = "trivet.api.v1."
PROTOS = Path(__file__).parents[3] / "proto"
MIB = 1 << 20


def request_types() -> Iterator[Descriptor]:
    """Every message type that can be in a request, those within others included."""
    services = [inference_pb2.DESCRIPTOR.services_by_name, admin_pb2.DESCRIPTOR.services_by_name]
    waiting = [method.input_type for by_name in services for one in by_name.values() for method in one.methods]
    seen: set[str] = set()
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen or not descriptor.full_name.startswith(PACKAGE):
            continue
        seen.add(descriptor.full_name)
        if not descriptor.GetOptions().map_entry:
            yield descriptor
        waiting += [field.message_type for field in descriptor.fields if field.message_type is not None]


def large_fields() -> dict[str, FieldDescriptor]:
    return {
        f"{descriptor.full_name.removeprefix(PACKAGE)}.{field.name}": field
        for descriptor in request_types()
        for field in descriptor.fields
        if is_large(field)
    }


def test_every_large_field_of_a_request_has_a_bound_and_no_other_field_has() -> None:
    assert sorted(large_fields()) == sorted(BOUNDS)


def test_a_bound_fits_its_field() -> None:
    for name, field in large_fields().items():
        bound = BOUNDS[name]
        assert (bound.items is not None) == field.is_repeated, name
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        assert (bound.key is not None) == is_map, name


def comments(folder: Path) -> dict[str, str]:
    """The comment of each field of the contract."""
    target = folder / "contract.binpb"
    protos = sorted(str(path) for path in (PROTOS / "trivet" / "api").rglob("*.proto"))
    include = [f"-I{PROTOS}", f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    assert protoc.main(["protoc", *include, "--include_source_info", f"--descriptor_set_out={target}", *protos]) == 0
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file:
        for location in file.source_code_info.location:
            if len(location.path) == 4 and (location.path[0], location.path[2]) == (4, 2):  # message, field
                message = file.message_type[location.path[1]]
                found[f"{message.name}.{message.field[location.path[3]].name}"] = location.leading_comments
    return found


def numbers(bound: Bound) -> set[str]:
    sizes = {number for number in (bound.size, bound.items, bound.key) if number is not None}
    return {f"{number:,}" for number in sizes}


def test_the_contracts_comment_of_a_field_names_its_bound(tmp_path: Path) -> None:
    told = comments(tmp_path)
    for name, bound in BOUNDS.items():
        if numbers(bound):
            assert numbers(bound) <= set(re.findall(r"\d[\d,]*\d|\d", told[name])), name
            assert "t most" in " ".join(told[name].split()), name
        else:
            assert "server.max_message_bytes" in told[name], name


def schema(size: int) -> Struct:
    made = Struct()
    made["description"] = "x" * size
    return made


TOO_MUCH: dict[str, tuple[inference_pb2.GenerateRequest, str]] = {
    "route": (request("r" * 4 * MIB), "expected at most 128 characters, got 4,194,304"),
    "unit_id": (request(unit_id="u" * 257), "expected at most 256 characters, got 257"),
    "retrieval.filter": (
        request(retrieval=inference_pb2.RetrievalOptions(filter=["t"] * 300_000)),
        "expected at most 16, got more",
    ),
    "retrieval.filter[1]": (
        request(retrieval=inference_pb2.RetrievalOptions(filter=["t", "t" * 129])),
        "expected at most 128 characters, got 129",
    ),
    "messages": (
        inference_pb2.GenerateRequest(route="plain", messages=[inference_pb2.Message(role="user", content="x")] * 257),
        "expected at most 256, got 257",
    ),
    "messages[0].role": (
        inference_pb2.GenerateRequest(route="plain", messages=[inference_pb2.Message(role="u" * 17, content="x")]),
        "expected at most 16 characters, got 17",
    ),
    "variables": (request(variables={str(n): "" for n in range(8_000)}), "expected at most 64, got 8,000"),
    "variables.tone": (request(variables={"tone": "x" * 65_537}), "expected at most 65,536 characters, got 65,537"),
    "stop[0]": (request(stop=["s" * 257]), "expected at most 256 characters, got 257"),
    "labels.a": (request(labels={"a": "x" * 257}), "expected at most 256 characters, got 257"),
    "json_schema": (request(json_schema=schema(65_536)), "expected at most 65,536 bytes, got 65,5"),
}  # fmt: skip


async def fails(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return failure(error.value)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path, max_message_bytes=8 * MIB) as running:
        yield running


@pytest.mark.parametrize("field", TOO_MUCH)
async def test_what_is_out_of_bounds_is_refused_by_field_and_remembered_nowhere(served: Gateway, field: str) -> None:
    asked, told = TOO_MUCH[field]
    said = await fails(served.stub.Generate(asked))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert said.fields[field].startswith(told)
    assert served.backend.requests == []
    assert served.receipts.flush()
    assert (tmp := served.folder / "receipts.jsonl").stat().st_size == 0, tmp.read_text()[:500]


NAN, INFINITE = float("nan"), float("inf")
WRONG_NUMBERS: dict[str, list[dict[str, Any]]] = {
    "temperature": [{"temperature": number} for number in (NAN, INFINITE, -INFINITE, -0.1, 2.1, 1e308)],
    "seed": [{"seed": number} for number in (-1, -(2**63))],
    "max_tokens": [{"max_tokens": number} for number in (0, -1, -(2**31))],
    "retrieval.top_k": [
        {"retrieval": inference_pb2.RetrievalOptions(top_k=number)} for number in (0, -1, 101, 2**31 - 1)
    ],
    "stream.max_tokens": [{"stream": inference_pb2.StreamOptions(max_tokens=number)} for number in (0, -1, 1025)],
    "stream.max_ms": [
        {"stream": inference_pb2.StreamOptions(max_ms=number)} for number in (NAN, -0.1, 1000.1, INFINITE)
    ],
}


@pytest.mark.parametrize("field", WRONG_NUMBERS)
async def test_a_number_that_means_nothing_is_refused_by_field(served: Gateway, field: str) -> None:
    for fields in WRONG_NUMBERS[field]:
        said = await fails(served.stub.Generate(request(**fields)))
        assert (said.code, list(said.fields)) == ("INVALID_ARGUMENT", [field])
        assert said.fields[field].startswith("expected ")
    assert served.backend.requests == []


async def test_the_largest_numbers_that_mean_something_are_taken(served: Gateway) -> None:
    extreme = inference_pb2.RetrievalOptions(top_k=100)
    await served.stub.Generate(request(temperature=2.0, seed=2**63 - 1, max_tokens=2**31 - 1, retrieval=extreme))
    sampling = served.backend.requests[0].sampling
    assert (sampling.temperature, sampling.seed) == (2.0, 2**63 - 1)


async def test_a_stream_is_paced_as_its_request_says_and_a_whole_answer_as_far_as_can_be(served: Gateway) -> None:
    paces = []
    for options in (None, inference_pb2.StreamOptions(max_ms=0.0), inference_pb2.StreamOptions(max_tokens=1024)):
        async for _ in served.stub.GenerateStream(request(stream=options)):
            pass
        paces.append(served.backend.requests[-1].pace)
    own = StreamPace()
    assert paces == [own, StreamPace(own.max_tokens, 0.0), StreamPace(1024, own.max_ms)]
    await served.stub.Generate(request())
    assert served.backend.requests[-1].pace == StreamPace(1024, 1000.0)


def test_a_name_of_a_variable_that_is_too_long_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as error:
        check_bounds(request(variables={"n" * MIB: "x"}))
    assert len(str(error.value)) < 400
    assert "in its name, expected at most 128 characters, got 1,048,576" in str(error.value)


async def test_a_search_text_and_a_receipts_id_are_bounded(served: Gateway) -> None:
    said = await fails(served.stub.Retrieve(inference_pb2.RetrieveRequest(route="rag", text="x" * 8193)))
    assert said.fields == {"text": "expected at most 8,192 characters, got 8,193"}
    said = await fails(served.stub.GetReceipt(inference_pb2.GetReceiptRequest(request_id="x" * MIB)))
    assert said.fields == {"request_id": "expected at most 128 characters, got 1,048,576"}


@pytest.mark.parametrize("value", ["9" * 5000, "10", "-1", ""])
async def test_a_priority_is_one_digit(served: Gateway, value: str) -> None:
    said = await fails(served.stub.Generate(request(), metadata=[("x-trivet-priority", value)]))
    assert said.fields == {"x-trivet-priority": "expected a number from 0 to 9"}


async def test_metadata_that_is_too_long_is_no_credential_and_no_request_id(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=[("alpha", "acme", KeyRole.CLIENT)]) as running:
        long = [("authorization", "Bearer " + "a" * 5000), ("x-request-id", "i" * 129)]
        said = await fails(running.stub.Generate(request(), metadata=long))
        assert (said.code, "i" * 129 in said.trailers["x-request-id"]) == ("UNAUTHENTICATED", False)


async def test_a_bound_comes_before_the_work_of_an_operators_call() -> None:
    async with admin_stub() as stub:  # without any part behind it: a call that got further would be INTERNAL
        said = await fails(stub.DeleteDocuments(admin_pb2.DeleteDocumentsRequest(index="facts", ids=["d"] * 1001)))
        assert said.fields == {"ids": "expected at most 1,000, got 1,001"}
        said = await fails(stub.LoadAdapter(admin_pb2.LoadAdapterRequest(name="n" * 10_000)))
        assert said.fields == {"name": "expected at most 128 characters, got 10,000"}
        change = rollout_pb2.RolloutChange(route="r", reason="x" * 1025)
        said = await fails(stub.StartRollout(rollout_pb2.StartRolloutRequest(change=change)))
        assert said.fields == {"change.reason": "expected at most 1,024 characters, got 1,025"}


async def test_a_document_out_of_bounds_is_acknowledged_as_refused_and_the_next_one_taken() -> None:
    class Taken:
        async def upsert(self, index: str, document: Any) -> Any:
            raise InvalidRequest({"reached": "taken"})

    async with admin_stub(indexes=Taken()) as stub:
        big = admin_pb2.Document(id="d" * 300, tags=["t"] * 65, title="x" * 513)
        asked = [
            admin_pb2.UpsertDocumentsRequest(index="facts", document=document)
            for document in (big, admin_pb2.Document(id="next"))
        ]
        refused, taken = [answer async for answer in stub.UpsertDocuments(iter(asked))]
        assert refused.id == "d" * 255
        assert refused.error.code == "INVALID_ARGUMENT"
        for told in ("tags: expected at most 64, got 65", "title: expected at most 512 characters, got 513"):
            assert told in refused.error.message
        assert taken.error.message == "reached: taken"
