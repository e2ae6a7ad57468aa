"""How a gateway reaches its engine nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc

# A node that is cut off is noticed by its silence (see `RemoteSettings.lost_after`); pings notice dead connections that
# nothing is expected of.
_PING_MS, _PING_TIMEOUT_MS = 20_000, 10_000
_RECONNECT_MS = (100, 1000)  # first, and longest: the link has a backoff of its own


@dataclass(frozen=True, slots=True)
class NodeTls:
    """PEM files. `certificate` and `key` are the gateway's own; `server_name` where it is not the address."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """What lets a gateway in, read anew for each connection. `key_file`: one line, the secret."""

    key_file: Path | None = None
    tls: NodeTls | None = None
    max_message_bytes: int = 8 << 20

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What each call carries. OSError if the file cannot be read."""
        if self.key_file is None:
            return ()
        return (("authorization", f"Bearer {self.key_file.read_text(encoding='utf-8').strip()}"),)

    def channel(self, address: str) -> grpc.aio.Channel:
        """A new connection. OSError if a file cannot be read."""
        options: list[tuple[str, int | str]] = [
            ("grpc.keepalive_time_ms", _PING_MS),
            ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
            ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
            ("grpc.initial_reconnect_backoff_ms", _RECONNECT_MS[0]),
            ("grpc.min_reconnect_backoff_ms", _RECONNECT_MS[0]),
            ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS[1]),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.use_local_subchannel_pool", 1),  # a new connection is a new one
            ("grpc.enable_http_proxy", 0),
        ]
        if self.tls is None:
            return grpc.aio.insecure_channel(address, options)
        if self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        credentials = grpc.ssl_channel_credentials(
            root_certificates=self.tls.ca.read_bytes(),
            private_key=None if self.tls.key is None else self.tls.key.read_bytes(),
            certificate_chain=None if self.tls.certificate is None else self.tls.certificate.read_bytes(),
        )
        return grpc.aio.secure_channel(address, credentials, options)


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """Of all nodes of a backend; seconds. `holder`: what tells this gateway from others.

    `expected_model`: the model's fingerprint, empty where the gateway has no weights to take it from: then all nodes
    must have the one that the first of them has.
    """

    backend: str
    holder: str
    access: NodeAccess
    expected_tokenizer: str
    expected_model: str = ""
    heartbeat: float = 1.0
    lost_after: float = 3.0
    connect_timeout: float = 3.0
    retry_first: float = 0.2
    retry_most: float = 5.0


OnChange = Callable[[], None]
