"""Ray's library, asked for where it is needed: it is an extra."""

from __future__ import annotations

import logging
import socket
from typing import Any

from trivet.errors import ConfigError

PREFIX = "trivet-engine-"  # of the names of actors and placement groups
REACH_SECONDS = 5.0
MISSING = "Ray is not installed: the extra `ray` brings it (trivet[ray])"


def connect(address: str, namespace: str) -> Any:
    """The module `ray`, connected to a cluster that runs. Raises ConfigError if Ray is not installed, ConnectionError
    if there is no cluster."""
    try:
        import ray
    except ImportError:
        raise ConfigError([MISSING]) from None
    if address != "auto":
        _reach(address)
    ray.init(address, namespace=namespace, log_to_driver=False, logging_level=logging.WARNING)
    return ray


def _reach(address: str) -> None:
    """Raises ConnectionError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as problem:
        raise ConnectionError(f"nobody answers at {address}: {problem}") from problem


def engine_numbers(ray: Any) -> dict[int, str]:
    """The names of the engines' actors in the namespace, by number."""
    names = [str(name) for name in ray.util.list_named_actors()]
    return {
        int(name.removeprefix(PREFIX)): name
        for name in names
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).isdecimal()
    }
