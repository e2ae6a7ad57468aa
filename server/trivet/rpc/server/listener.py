"""A listener: one gRPC server on one address, with keep-alive rules, health, reflection and TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from trivet.api.v1 import admin_pb2_grpc, inference_pb2_grpc
from trivet.rpc.messages.reading import accepted_bytes, add_service
from trivet.rpc.server.health import ADMIN, INFERENCE, Health, Reflection
from trivet.rpc.server.startup import StartingServicer
from trivet.rpc.server.tls import TlsFiles, grpc_credentials

MOST_WAITING = 10_000  # calls that have come and that the process has not taken up yet; each takes 13 KB


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """What a listener demands of its connections; seconds and bytes. `shared_port`: several processes of one server
    listen on it."""

    max_message_bytes: int
    min_ping_interval: float
    ping_interval: float
    ping_timeout: float
    max_connection_age: float | None
    max_connection_age_grace: float
    tls: TlsFiles | None = None
    shared_port: bool = False

    def options(self) -> list[tuple[str, int]]:
        """gRPC's channel arguments."""
        options = [
            ("grpc.so_reuseport", int(self.shared_port)),  # a second server on the same port must fail, not share it
            ("grpc.max_receive_message_length", accepted_bytes(self.max_message_bytes)),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", _ms(self.ping_interval)),
            ("grpc.keepalive_timeout_ms", _ms(self.ping_timeout)),
            ("grpc.http2.ping_timeout_ms", _ms(self.ping_timeout)),  # else a client that hangs is given 60 s
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", _ms(self.min_ping_interval)),
            ("grpc.http2.max_ping_strikes", 2),
            # From 1,000 on gRPC would cancel some by chance, and no client could tell why.
            ("grpc.server.max_pending_requests", MOST_WAITING),
            ("grpc.server.max_pending_requests_hard_limit", MOST_WAITING),
        ]
        if self.max_connection_age is not None:
            options.append(("grpc.max_connection_age_ms", _ms(self.max_connection_age)))
            options.append(("grpc.max_connection_age_grace_ms", _ms(self.max_connection_age_grace)))
        return options


class Listener:
    """One gRPC server on one address."""

    def __init__(self, settings: ListenerSettings, health: Health) -> None:
        self._tls = settings.tls
        self._max_message_bytes = settings.max_message_bytes
        self._services: list[str] = []
        self._server = grpc.aio.server(options=settings.options())
        self._add(health_pb2_grpc.add_HealthServicer_to_server, health.servicer)

    def serve_inference(self, servicer: inference_pb2_grpc.InferenceServicer | StartingServicer) -> None:
        """Add the clients' service."""
        self.serve(inference_pb2_grpc.add_InferenceServicer_to_server, servicer, INFERENCE)

    def serve_admin(self, servicer: admin_pb2_grpc.AdminServicer | StartingServicer) -> None:
        """Add the operators' service."""
        self.serve(admin_pb2_grpc.add_AdminServicer_to_server, servicer, ADMIN)

    def serve(self, add: Callable[[Any, Any], None], servicer: Any, service: str) -> None:
        """Add a service, before the start: the generated `add_..._to_server`, its servicer and its full name."""
        self._add(add, servicer)
        self._services.append(service)

    async def start(self, listen: str) -> str:
        """Bind and serve; returns host:port with the port that was given. OSError if the address is taken."""
        self._reflect()
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, grpc_credentials(self._tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: {error}") from error
        await self._server.start()
        return f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self, grace: float) -> None:
        """Refuse new calls; end what is still running after `grace` seconds."""
        await self._server.stop(grace)

    def _reflect(self) -> None:
        names = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self._add(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, Reflection(names))

    def _add(self, add: Callable[[Any, Any], None], servicer: Any) -> None:
        add_service(self._server, add, servicer, self._max_message_bytes)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
