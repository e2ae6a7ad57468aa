"""The services that every gRPC server has: health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.rpc.call import Context, rpc_call
from trivet.rpc.reading import Unreadable

INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["Admin"].full_name
LIVENESS = "liveness"


class Health:
    """`grpc.health.v1`: "" and each service say whether requests are served, `liveness` that the process is."""

    def __init__(self, services: Sequence[str] = (INFERENCE, ADMIN)) -> None:
        self.servicer = _HealthServicer()
        self.ready = False
        self._services = tuple(services)

    async def set_ready(self, ready: bool) -> None:
        """Say whether requests are served."""
        self.ready = ready
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *self._services):
            await self.servicer.set(service, status)
        await self.servicer.set(LIVENESS, serving)


class _HealthServicer(health.aio.HealthServicer):
    """gRPC's own, except that a message that cannot be read is refused as everywhere else."""

    async def Check(self, request: health_pb2.HealthCheckRequest | Unreadable, context: Context) -> Any:
        if isinstance(request, Unreadable):
            return await _refuse(request, context)
        return await super().Check(request, context)

    async def Watch(self, request: health_pb2.HealthCheckRequest | Unreadable, context: Context) -> None:
        if isinstance(request, Unreadable):
            return await _refuse(request, context)
        return await super().Watch(request, context)


class Reflection(reflection.aio.ReflectionServicer):
    """gRPC's own, with the same exception."""

    async def ServerReflectionInfo(self, request_iterator: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async with rpc_call(context):
            async for answer in super().ServerReflectionInfo(_read(request_iterator), context):
                yield answer


async def _read(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, Unreadable):
            raise request.error
        yield request


async def _refuse(request: Unreadable, context: Context) -> None:
    async with rpc_call(context):
        raise request.error
