"""The services that every gRPC server has: health and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.errors import NotFound, Overloaded
from trivet.excerpt import quote
from trivet.rpc.call import Context, rpc_call, write_bounded
from trivet.rpc.messages.reading import Unreadable

INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["Admin"].full_name
LIVENESS = "liveness"
MOST_WATCHERS = 1000
WRITE_SECONDS = 30.0  # for a watcher to read what it is told
RETRY_AFTER = 5.0


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
            self.servicer.set(service, status)
        self.servicer.set(LIVENESS, serving)


class _HealthServicer(health_pb2_grpc.HealthServicer):
    """gRPC's own writes to a watcher while nobody else may change a status: one that reads nothing would stop all."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {"": health_pb2.HealthCheckResponse.SERVING}
        self._changed = asyncio.Event()
        self._watchers = 0

    def set(self, service: str, status: int) -> None:
        """From now on; watchers are told."""
        self._statuses[service] = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest | Unreadable, context: Context) -> Any:
        """The status now."""
        async with rpc_call(context, request):
            assert not isinstance(request, Unreadable)
            status: Any = self._statuses.get(request.service)
            if status is None:
                raise NotFound(f"no service {quote(request.service)}")
            return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest | Unreadable, context: Context) -> None:
        """The status now, and each one that it changes to."""
        async with rpc_call(context, request):
            assert not isinstance(request, Unreadable)
            if self._watchers >= MOST_WATCHERS:
                raise Overloaded("watchers of health", MOST_WATCHERS, RETRY_AFTER)
            self._watchers += 1
            try:
                await self._follow(request.service, context)
            finally:
                self._watchers -= 1

    async def _follow(self, service: str, context: Context) -> None:
        told: Any = None
        while True:
            changed = self._changed
            status: Any = self._statuses.get(service, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                await write_bounded(context, health_pb2.HealthCheckResponse(status=status), WRITE_SECONDS)
                told = status
            await changed.wait()


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
