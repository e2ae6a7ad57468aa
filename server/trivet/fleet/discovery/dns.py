"""A name whose addresses are all nodes, such as a headless Service's."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable

from trivet.fleet.discovery.discovery import Found

MOST = 4096
Resolve = Callable[[str, int], Awaitable[list[str]]]


class DnsName:
    """Asked again every `refresh` seconds. A name that cannot be resolved, or has no addresses, changes nothing."""

    def __init__(self, name: str, refresh: float, resolve: Resolve | None = None) -> None:
        """`name`: with the port that all nodes have."""
        host, _, port = name.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._refresh = refresh
        self._resolve = resolve or _resolve

    async def watch(self) -> AsyncGenerator[Found, None]:
        """See `Discovery.watch`."""
        before: Found | None = None
        while True:
            found = await self._look()
            if found != before:
                yield found
            before = found
            await asyncio.sleep(self._refresh)

    async def _look(self) -> Found:
        try:
            async with asyncio.timeout(max(5.0, self._refresh)):
                addresses = await self._resolve(self._host, self._port)
        except (OSError, TimeoutError) as error:
            return Found(None, f"{self._host} cannot be resolved: {error or 'no answer'}")
        known = frozenset(_with_port(address, self._port) for address in addresses[:MOST])
        return Found(known) if known else Found(None, f"{self._host} has no addresses")


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _with_port(address: str, port: int) -> str:
    try:
        six = ipaddress.ip_address(address).version == 6
    except ValueError:
        six = False
    return f"[{address}]:{port}" if six else f"{address}:{port}"
