"""Which addresses a corpus may be fetched from: none of a private network, whatever a name or a redirect says."""

from __future__ import annotations

import ipaddress
import socket

from trivet.retrieval.sources.remote import SourceError


def address_of(host: str, port: int, *, private: bool) -> str:
    """An address of a host, to connect to and no other. Raises SourceError if it has none, or, unless `private` ones
    are
    allowed, if any of them is not of the public internet: loopback, link-local, private, or a cloud's metadata service.

    The name is not asked again when the connection is made, so it cannot have another address by then.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{host}: there is no such host ({error})") from None
    addresses = [str(one[4][0]) for one in found]
    for address in addresses:
        if not private and not is_public(address):
            raise SourceError(
                f"{host} has the address {address}, which is not of the public internet: `allow_private: true` in the "
                "index's `source` allows it"
            )
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet; also of an IPv4 address inside an IPv6 one."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            return is_public(str(inner))
        if parsed in ipaddress.ip_network("64:ff9b::/96"):  # an IPv4 address behind a translator
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast
