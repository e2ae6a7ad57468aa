"""Ports that several processes of one user listen on together (SO_REUSEPORT, socket(7))."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from trivet.config import Config
from trivet.config.schema.server import LISTENERS

NOT_SHARED = "metrics_listen"


@contextmanager
def reserved_ports(config: Config) -> Iterator[dict[str, str]]:
    """Hold the ports of the configuration's listeners, without listening, so that they stay ours while no process does.

    Gives host:port of each, by its name; a port of 0 has become a free one. OSError if an address cannot be had.
    """
    with ExitStack() as held:
        yield {
            name: _reserve(address, held)
            for name in LISTENERS
            if name != NOT_SHARED and (address := getattr(config.file.server, name)) is not None
        }


def _reserve(address: str, held: ExitStack) -> str:
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = found[0]
    bound = held.enter_context(socket.socket(family, kind, protocol))
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(where)
    return f"{host}:{bound.getsockname()[1]}"
