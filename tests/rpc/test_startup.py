"""While a server starts: health answers, calls are told to come back, and then they are served."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateway.harness import LIMITS
from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.rpc.server import LIVENESS, Health, Listener
from trivet.rpc.server.startup import RETRY_AFTER, StartingServicer
from trivet.rpc.status import DETAILS_TRAILER

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Servicer(inference_pb2_grpc.InferenceServicer):
    async def Generate(self, request: inference_pb2.GenerateRequest, context: Any) -> Any:
        return inference_pb2.GenerateResponse(text=request.route)

    async def GenerateStream(self, request: inference_pb2.GenerateRequest, context: Any) -> None:
        for text in "ab":
            await context.write(inference_pb2.GenerateStreamResponse(delta=inference_pb2.Delta(text=text)))


def retry_delay(error: grpc.aio.AioRpcError) -> float:
    (value,) = [value for key, value in error.trailing_metadata() if key == DETAILS_TRAILER]
    retry = error_details_pb2.RetryInfo()
    assert [detail for detail in status_pb2.Status.FromString(value).details if detail.Unpack(retry)]
    return float(retry.retry_delay.ToTimedelta().total_seconds())


async def test_a_starting_server_lives_is_not_ready_and_says_when_to_come_back() -> None:
    health, starting = Health(), StartingServicer()
    listener = Listener(LIMITS, health)
    listener.serve_inference(starting)
    await health.set_ready(False)
    address = await listener.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            checks = health_pb2_grpc.HealthStub(channel)
            for service, expected in ((LIVENESS, SERVING), ("", NOT_SERVING)):
                answer = await checks.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
                assert answer.status == expected
            stub = inference_pb2_grpc.InferenceStub(channel)  # type: ignore[no-untyped-call,unused-ignore]
            request = inference_pb2.GenerateRequest(route="r")
            for call in (stub.Generate(request), stub.GenerateStream(request).read()):
                with pytest.raises(grpc.aio.AioRpcError, match="the server is starting") as refused:
                    await call
                assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
                assert retry_delay(refused.value) == RETRY_AFTER
            starting.serve(Servicer())
            assert (await stub.Generate(request)).text == "r"
            assert [event.delta.text async for event in stub.GenerateStream(request)] == ["a", "b"]
    finally:
        await listener.stop(0)
