"""Where a server is, and how a client is let in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

DEFAULT_ADDRESS = "127.0.0.1:7600"
DEFAULT_ADMIN_ADDRESS = "127.0.0.1:7601"
# A server that hangs, or that the network lost, keeps its connections and says nothing: a call that hears nothing for
# the first of these times pings, and fails if no answer comes within the second. Servers allow a ping in 10 s.
PING_AFTER_MS = 15_000
PING_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is and how to be let in.

    With `ca_file` (PEM) the connection uses TLS. `cert_file` and `key_file` (PEM) are the client's own certificate and
    private key, for servers that ask for one. `server_name` is the name in the server's certificate where it differs
    from the address. Without TLS the key crosses the network as it is: use that on the loopback interface only.
    """

    address: str = DEFAULT_ADDRESS
    admin_address: str = DEFAULT_ADMIN_ADDRESS
    key: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("expected cert_file and key_file together")
        if self.ca_file is None and (self.cert_file is not None or self.server_name is not None):
            raise ValueError("expected ca_file as well: without it the connection does not use TLS")

    def metadata(self) -> list[tuple[str, str]]:
        """What each call carries."""
        return [] if self.key is None else [("authorization", f"Bearer {self.key}")]

    def options(self) -> list[tuple[str, str | int]]:
        """Channel options."""
        options: list[tuple[str, str | int]] = [
            ("grpc.keepalive_time_ms", PING_AFTER_MS),
            ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
            # The one before holds for lost packets, not for a server that hangs.
            ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ]
        if self.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        return options

    def credentials(self) -> grpc.ChannelCredentials | None:
        """TLS credentials; None for a connection in the clear. Raises OSError if a file cannot be read."""
        if self.ca_file is None:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_file.read_bytes(),
            private_key=None if self.key_file is None else self.key_file.read_bytes(),
            certificate_chain=None if self.cert_file is None else self.cert_file.read_bytes(),
        )
