"""From the configuration to what the listeners need."""

from __future__ import annotations

import socket

from trivet.config import Config
from trivet.config.schema.server import LISTENERS
from trivet.errors import FailedPrecondition
from trivet.rpc.auth import KeyEntry
from trivet.rpc.server import ListenerSettings, TlsFiles
from trivet.types.request import KeyRole


def key_entries(config: Config) -> list[KeyEntry]:
    """The keys of the configuration."""
    return [
        KeyEntry(
            key.sha256,
            key.tenant,
            KeyRole(key.role),
            key.name,
            key.tester,
            None if key.routes is None else frozenset(key.routes),
        )
        for key in config.file.keys
    ]


def listener_settings(config: Config) -> ListenerSettings:
    """Limits, keep-alive and TLS of both listeners."""
    server = config.file.server
    tls = None
    if server.tls is not None:
        client_ca = None if server.tls.client_ca is None else config.resolve(server.tls.client_ca)
        tls = TlsFiles(config.resolve(server.tls.certificate), config.resolve(server.tls.key), client_ca)
    return ListenerSettings(
        max_message_bytes=server.max_message_bytes,
        min_ping_interval=server.keepalive.min_ping_interval,
        ping_interval=server.keepalive.ping_interval,
        ping_timeout=server.keepalive.ping_timeout,
        max_connection_age=server.keepalive.max_connection_age,
        max_connection_age_grace=server.keepalive.max_connection_age_grace,
        tls=tls,
    )


def check_addresses(config: Config) -> None:
    """Try each address now, since the engine takes minutes to start; FailedPrecondition names those that cannot be
    bound."""
    if problems := address_problems(config):
        raise FailedPrecondition("\n".join(problems))


def address_problems(config: Config) -> list[str]:
    """One line for each address that cannot be bound now."""
    server = config.file.server
    problems = []
    for name in LISTENERS:
        address: str | None = getattr(server, name)
        if address is None or int(address.rpartition(":")[2]) > 65535:
            continue  # the configuration's own check tells
        try:
            _bind(address)
        except OSError as error:
            origin = config.origins.get(name, f"server.{name}")
            problems.append(f"{origin}: cannot listen on {address}: {error.strerror or error}")
    return problems


def _bind(address: str) -> None:
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the servers do: connections of an earlier process that are still closing do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)
