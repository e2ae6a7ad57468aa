"""HTTP over TLS: the gRPC listeners' certificates, client authority and rotation."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support.gateway.certificates import self_signed, write_pair
from trivet.http import Door, ExchangeLimits, HttpListener, HttpSettings, application
from trivet.rpc.server import TlsFiles


@asynccontextmanager
async def listening(tls: TlsFiles) -> AsyncIterator[str]:
    serving = HttpListener(application(Door(lambda: True), ExchangeLimits(1 << 20, 1, 1)), HttpSettings(tls=tls))
    try:
        yield await serving.start("127.0.0.1:0")
    finally:
        await serving.stop(0)


async def answers(address: str, authority: bytes, shown: TlsFiles | None = None) -> bool:
    """Whether a new connection is served."""
    context = ssl.create_default_context(cadata=authority.decode())
    if shown is not None:
        context.load_cert_chain(shown.certificate, shown.key)
    async with httpx.AsyncClient(verify=context) as asking:
        try:
            return (await asking.get(f"https://{address}/health")).status_code == 200
        except httpx.TransportError:
            return False


async def test_a_rotated_certificate_is_served_to_new_connections(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    old = tls.certificate.read_bytes()
    async with listening(tls) as address:
        assert await answers(address, old)
        async with httpx.AsyncClient() as asking:
            with pytest.raises(httpx.TransportError):
                await asking.get(f"http://{address}/health")
        new = write_pair(tls)
        assert await answers(address, new)
        assert not await answers(address, old)
        tls.certificate.write_bytes(b"half")
        assert await answers(address, new), "the pair before goes on being served"


async def test_clients_must_show_a_certificate_of_the_authority(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    first, second = (TlsFiles(tmp_path / f"{name}.pem", tmp_path / f"{name}-key.pem") for name in "ab")
    authority = tmp_path / "authority.pem"
    for client in (first, second):
        write_pair(client)
    authority.write_bytes(first.certificate.read_bytes())
    server = tls.certificate.read_bytes()
    async with listening(replace(tls, client_ca=authority)) as address:
        assert [await answers(address, server, one) for one in (None, first, second)] == [False, True, False]
        authority.write_bytes(second.certificate.read_bytes())
        assert [await answers(address, server, one) for one in (None, first, second)] == [False, False, True]
