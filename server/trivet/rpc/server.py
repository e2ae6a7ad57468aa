"""The listeners: gRPC servers with health, reflection, keep-alive rules and TLS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trivet.api.v1 import admin_pb2, admin_pb2_grpc, inference_pb2, inference_pb2_grpc
from trivet.rpc.reading import accepted_bytes, add_service

INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["Admin"].full_name
LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. With `client_ca`, clients must show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """What a listener demands of its connections; seconds and bytes."""

    max_message_bytes: int
    min_ping_interval: float
    ping_interval: float
    ping_timeout: float
    max_connection_age: float | None
    max_connection_age_grace: float
    tls: TlsFiles | None = None

    def options(self) -> list[tuple[str, int]]:
        """gRPC's channel arguments."""
        options = [
            ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
            ("grpc.max_receive_message_length", accepted_bytes(self.max_message_bytes)),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", _ms(self.ping_interval)),
            ("grpc.keepalive_timeout_ms", _ms(self.ping_timeout)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", _ms(self.min_ping_interval)),
            ("grpc.http2.max_ping_strikes", 2),
        ]
        if self.max_connection_age is not None:
            options.append(("grpc.max_connection_age_ms", _ms(self.max_connection_age)))
            options.append(("grpc.max_connection_age_grace_ms", _ms(self.max_connection_age_grace)))
        return options


class Health:
    """`grpc.health.v1`: "" and each service say whether requests are served, `liveness` that the process is."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()

    async def set_ready(self, ready: bool) -> None:
        """Say whether requests are served."""
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", INFERENCE, ADMIN):
            await self.servicer.set(service, status)
        await self.servicer.set(LIVENESS, serving)


class Listener:
    """One gRPC server on one address."""

    def __init__(self, settings: ListenerSettings, health: Health) -> None:
        self._tls = settings.tls
        self._max_message_bytes = settings.max_message_bytes
        self._server = grpc.aio.server(options=settings.options())
        health_pb2_grpc.add_HealthServicer_to_server(health.servicer, self._server)

    def serve_inference(self, servicer: inference_pb2_grpc.InferenceServicer) -> None:
        """Add the clients' service."""
        add = inference_pb2_grpc.add_InferenceServicer_to_server
        add_service(self._server, add, servicer, self._max_message_bytes)
        self._reflect([INFERENCE])

    def serve_admin(self, servicer: admin_pb2_grpc.AdminServicer) -> None:
        """Add the operators' service."""
        add = admin_pb2_grpc.add_AdminServicer_to_server
        add_service(self._server, add, servicer, self._max_message_bytes)
        self._reflect([ADMIN])

    async def start(self, listen: str) -> str:
        """Bind and serve; returns host:port with the port that was given. OSError if the address is taken."""
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, _credentials(self._tls))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {listen}: {error}") from error
        await self._server.start()
        return f"{listen.rpartition(':')[0]}:{port}"

    async def stop(self, grace: float) -> None:
        """Refuse new calls; end what is still running after `grace` seconds."""
        await self._server.stop(grace)

    def _reflect(self, services: Sequence[str]) -> None:
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    client_ca = None if tls.client_ca is None else tls.client_ca.read_bytes()
    return grpc.ssl_server_credentials([pair], client_ca, require_client_auth=client_ca is not None)


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
