"""What surrounds the inferences: a server that starts, messages that cannot be read, reflection, how many at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.kserve.conftest import KEYS
from tests.support.clients.inference_requests import KEY, infer, outputs
from tests.support.gateway.harness import LIMITS, Gateway, failure, gateway
from trivet.kserve import SERVICE, OpenInferenceServicer, add_to_server
from trivet.kserve.inference import MOST_AT_ONCE
from trivet.kserve.v2 import open_inference_pb2 as pb
from trivet.kserve.v2 import open_inference_pb2_grpc
from trivet.rpc.server import INFERENCE, Health, Listener


async def test_a_starting_server_lives_and_says_when_to_come_back() -> None:
    listener = Listener(LIMITS, Health())
    listener.serve(add_to_server, OpenInferenceServicer(lambda: True), SERVICE)
    address = await listener.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub: Any = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert (await stub.ServerLive(pb.ServerLiveRequest())).live
            assert not (await stub.ServerReady(pb.ServerReadyRequest())).ready
            for call in (stub.ModelInfer(infer()), stub.ModelStreamInfer(iter([infer()])).read()):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call
                told = failure(refused.value)
                assert (told.code, told.retry_after) == ("UNAVAILABLE", 5.0)
    finally:
        await listener.stop(0)


async def test_reflection_tells_of_both_protocols(served: Gateway) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        (told,) = [one async for one in stub.ServerReflectionInfo(iter([asked]))]
    assert {SERVICE, INFERENCE} <= {one.name for one in told.list_services_response.service}


async def test_bytes_that_are_no_message_are_refused_and_the_stream_goes_on(served: Gateway) -> None:
    async with grpc.aio.insecure_channel(served.address) as channel:
        unary: Any = channel.unary_unary(f"/{SERVICE}/ModelInfer")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unary(b"\xff", metadata=KEY)
        assert failure(refused.value).reason == "MALFORMED_MESSAGE"
        stream: Any = channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")
        sent = [b"\xff", infer().SerializeToString()]
        found = [pb.ModelStreamInferResponse.FromString(one) async for one in stream(iter(sent), metadata=KEY)]
    assert sorted(bool(one.error_message) for one in found) == [False, True]
    (failed,) = [one for one in found if one.error_message]
    assert failed.infer_response.parameters["reason"].string_param == "MALFORMED_MESSAGE"


async def test_a_stream_has_so_many_requests_under_way_and_no_more(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=KEYS, max_running=64, max_queued=64) as served:
        served.backend.interval, served.backend.script = 0.05, ["word "] * 10
        async with grpc.aio.insecure_channel(served.address) as channel:
            stub: Any = open_inference_pb2_grpc.GRPCInferenceServiceStub(channel)
            requests = [infer() for _ in range(MOST_AT_ONCE + 8)]
            stream = stub.ModelStreamInfer(iter(requests), metadata=KEY)
            most, found = 0, []

            async def watch() -> None:
                nonlocal most
                while True:
                    most = max(most, served.backend.in_flight)
                    await asyncio.sleep(0.005)

            watching = asyncio.create_task(watch())
            async for one in stream:
                found.append(outputs(one.infer_response)["text_output"])
            watching.cancel()
    assert found == ["word " * 10] * len(requests)
    assert 1 < most <= MOST_AT_ONCE
