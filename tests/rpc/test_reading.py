"""Messages that cannot be read are final errors with a reason, for every method."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tests.support.gateway.admin_stub import admin_channel
from tests.support.gateway.harness import LIMITS, failure, gateway, request
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.rpc.bounds import crowded_field
from trivet.rpc.reading import accepted_bytes

LIMIT = LIMITS.max_message_bytes
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
    ("data", "field"),
    [
        (b"\x12\x00" * 100_000, "messages"),
        (b"\x12\xc0\xb8\x02" + b"\x22\x00" * 20_000, None),
        (b"\x12\x80\xf1\x04" + b"\x22\x00" * 40_000, "messages.tool_calls"),
        (b"\x0a\x80\x80\x40" + b"a" * (1 << 20), None),
    ],
    ids=["empty messages", "some calls", "calls in a message", "a long text"],
)
def test_fields_are_counted_before_anything_is_made_of_them(data: bytes, field: str | None) -> None:
    descriptor: Any = inference_pb2.GenerateRequest.DESCRIPTOR
    assert crowded_field(data, descriptor) == field


async def test_a_message_of_many_fields_is_refused_without_being_read(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served, grpc.aio.insecure_channel(served.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await first(channel, GENERATE, b"\x12\x00" * 50_000)
        said = failure(error.value)
        assert (said.code, said.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert said.fields == {"messages": "the message has more than 40,000 values"}
