"""Messages that cannot be read are final errors with a reason, for every method."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.support.gateway.admin_stub import admin_channel
from tests.support.gateway.harness import LIMITS, failure, gateway, request
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.engine.v1 import engine_pb2
from trivet.kserve.v2 import open_inference_pb2
from trivet.rpc.messages.bounds import BOUNDS
from trivet.rpc.messages.crowded import MOST_VALUES, crowded_field
from trivet.rpc.messages.reading import accepted_bytes

LIMIT = LIMITS.max_message_bytes
CROWDED = f"the message has more than {MOST_VALUES:,} values"
GENERATE = inference_pb2.DESCRIPTOR.services_by_name["Inference"].methods_by_name["Generate"]


def methods(service: Any) -> list[Any]:
    return [pytest.param(method, id=method.name) for method in service.methods]


async def first(channel: Any, method: Any, data: bytes) -> Any:
    """Call a method with these bytes, whatever they are."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.client_streaming:

        async def one() -> AsyncIterator[bytes]:
            yield data

        return [answer async for answer in channel.stream_stream(path)(one())]
    if method.server_streaming:
        return [answer async for answer in channel.unary_stream(path)(data)]
    return await channel.unary_unary(path)(data)


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["cut short", "not UTF-8"])
@pytest.mark.parametrize("method", methods(inference_pb2.DESCRIPTOR.services_by_name["Inference"]))
async def test_a_malformed_message_to_a_client_method(tmp_path: Path, method: Any, data: bytes) -> None:
    async with gateway(tmp_path) as served, grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await first(channel, method, data)
        said = failure(error.value)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
        assert said.trailers["x-request-id"]
        assert (await served.stub.Generate(request())).text == "one two three"


@pytest.mark.parametrize("method", methods(admin_pb2.DESCRIPTOR.services_by_name["Admin"]))
async def test_a_malformed_message_to_an_operators_method(method: Any) -> None:
    async with admin_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await first(channel, method, b"\x0a\x05ab")
        said = failure(error.value)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")


HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
REFLECTION = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
STANDARD = [method for service in (HEALTH, REFLECTION) for method in service.methods if method.name != "List"]


@pytest.mark.parametrize("method", [pytest.param(method, id=method.full_name) for method in STANDARD])
async def test_a_malformed_message_to_health_and_reflection(tmp_path: Path, method: Any) -> None:
    async with gateway(tmp_path) as served, grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await first(channel, method, b"\x0a\x05ab")
        said = failure(error.value)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "MALFORMED_MESSAGE")
        answered = await first(channel, method, b"") if method.name != "Watch" else True
        assert answered


async def test_a_message_above_the_limit_is_told_the_limit(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.stub.Generate(request(text="x" * LIMIT))
        said = failure(error.value)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "MESSAGE_TOO_LARGE")
        assert f"expected at most {LIMIT:,} (server.max_message_bytes)" in said.message


async def test_far_above_the_limit_grpc_itself_refuses(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await served.stub.Generate(request(text="x" * accepted_bytes(LIMIT)))
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in dict(error.value.trailing_metadata())


@pytest.mark.parametrize(
    ("data", "crowded"),
    [
        (b"\x12\x00" * 256, None),
        (b"\x12\x00" * 257, ("messages", "expected at most 256, got more")),
        (b"\x12\x20" + b"\x22\x00" * 16 + b"\x12\x20" + b"\x22\x00" * 16, None),
        (b"\x12\x22" + b"\x22\x00" * 17, ("messages.tool_calls", "expected at most 16, got more")),
        ((b"\x12\xa0\x03" + (b"\x22\x18" + b"\xf8\x3f\x01" * 8) * 16) * 256, ("messages.tool_calls.1023", CROWDED)),
        (b"\x2a\x80\x80\x04" + b"\x0a\x00" * 32_768, None),
        (b"\x2a\x82\x80\x04" + b"\x0a\x00" * 32_769, ("json_schema", "expected at most 65,536 bytes, got 65,538")),
        (b"\x0a\x00" * 2, ("route", "expected at most 1, got more")),
        (b"\x2a\x00" * 2, ("json_schema", "expected at most 1, got more")),
        (b"\xfb\x3f" + b"\x12\x00" * 100_000 + b"\xfc\x3f", ("1023", "expected no group")),
        (b"\xf8\x3f\x01" * 50 + b"\xf0\x3f\x01" * 51, ("1022", "expected at most 100, got more")),
        (b"\x0a\x80\x80\x40" + b"a" * (1 << 20), None),
    ],
    ids=[
        "messages", "too many messages", "calls in two messages", "too many calls in one", "many values together",
        "a schema", "a large schema", "the same again", "a schema again", "a group", "fields that nobody knows",
        "a long text",
    ],
)  # fmt: skip
def test_values_are_counted_before_anything_is_made_of_them(data: bytes, crowded: tuple[str, str] | None) -> None:
    descriptor: Any = inference_pb2.GenerateRequest.DESCRIPTOR
    assert crowded_field(data, descriptor) == crowded


def test_the_largest_message_within_the_bounds_is_read() -> None:
    def items(name: str) -> range:
        return range(BOUNDS[name].items or 0)

    calls = [inference_pb2.ToolCall(id="i", name="n", arguments="{}") for _ in items("Message.tool_calls")]
    said = inference_pb2.Message(
        role="r", content="c", reasoning="r", tool_calls=calls, tool_call_id="i", name="n"
    )  # fmt: skip
    asked = inference_pb2.GenerateRequest(
        route="r",
        messages=[said] * len(items("GenerateRequest.messages")),
        tools=[inference_pb2.Tool(name="n", description="d", parameters="{}")] * len(items("GenerateRequest.tools")),
        variables={str(number): "v" for number in items("GenerateRequest.variables")},
        labels={str(number): "l" for number in items("GenerateRequest.labels")},
        stop=["s"] * len(items("GenerateRequest.stop")),
    )
    descriptor: Any = inference_pb2.GenerateRequest.DESCRIPTOR
    assert crowded_field(asked.SerializeToString(), descriptor) is None
    asked.messages.append(said)
    assert crowded_field(asked.SerializeToString(), descriptor) == ("messages", "expected at most 256, got more")


def test_what_has_no_bounds_of_its_own_may_have_many_values() -> None:
    tensor = open_inference_pb2.ModelInferRequest.InferInputTensor(name="text")
    tensor.contents.bytes_contents.extend([b"word"] * 10_000)
    data = open_inference_pb2.ModelInferRequest(inputs=[tensor]).SerializeToString()
    descriptor: Any = open_inference_pb2.ModelInferRequest.DESCRIPTOR
    assert crowded_field(data, descriptor) is None
    assert crowded_field(data * 3, descriptor) == ("inputs.contents.bytes_contents", CROWDED)


def _tensor(contents: bytes) -> bytes:
    """A request with one input of these contents."""
    message = contents
    for number in (5, 5):
        message = bytes([number << 3 | 2]) + _length(message) + message
    return message


def _length(data: bytes, padded: int = 0) -> bytes:
    left, written = len(data), bytearray()
    while left >= 0x80 or len(written) + 1 < padded:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*written, left])


@pytest.mark.parametrize(
    ("field", "one"), [(1, b"\x01"), (3, b"\xff\x01"), (5, b"\x80\x80\x01"), (6, b"\x00" * 4), (7, b"\xff" * 8)]
)
def test_numbers_that_come_as_one_value_are_counted(field: int, one: bytes) -> None:
    descriptor: Any = open_inference_pb2.ModelInferRequest.DESCRIPTOR
    for number, crowded in ((MOST_VALUES - 2, False), (MOST_VALUES + 1, True), (1 << 20, True)):
        numbers = one * number
        data = _tensor(bytes([field << 3 | 2]) + _length(numbers) + numbers)
        assert (crowded_field(data, descriptor) is not None) is crowded
        if not crowded:
            assert open_inference_pb2.ModelInferRequest.FromString(data).inputs


def test_token_ids_between_gateway_and_node_may_be_many() -> None:
    asked = engine_pb2.GenerateRequest(start=engine_pb2.Start(token_ids=[7] * 500_000))
    descriptor: Any = engine_pb2.GenerateRequest.DESCRIPTOR
    assert crowded_field(asked.SerializeToString(), descriptor) is None


@pytest.mark.parametrize("padded", [1, 5, 6, 10])
def test_tags_and_lengths_are_read_as_the_parser_does(padded: int) -> None:
    """A longer one than it takes may hide nothing: what is not counted, it does not read."""
    message = b"\x12" + _length(b"", padded)
    descriptor: Any = inference_pb2.GenerateRequest.DESCRIPTOR
    assert (crowded_field(message * 300, descriptor) is not None) is (padded <= 5)
    if padded > 5:
        with pytest.raises(DecodeError):
            inference_pb2.GenerateRequest.FromString(message)
    padded_tag = _length(b"\x00" * 18, padded) + b"\x00"
    assert (crowded_field(padded_tag * 300, descriptor) is not None) is (padded <= 5)
    if padded > 5:
        with pytest.raises(DecodeError):
            inference_pb2.GenerateRequest.FromString(padded_tag)


async def test_a_message_of_many_fields_is_refused_without_being_read(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served, grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await first(channel, GENERATE, b"\x12\x00" * 200_000)
        said = failure(error.value)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert said.fields == {"messages": "expected at most 256, got more"}
