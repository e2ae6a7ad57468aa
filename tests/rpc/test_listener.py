"""TLS, connection limits and addresses of the listeners."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway_harness import LIMITS, gateway, request
from trivet.rpc.server import Health, Listener, TlsFiles


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    """A certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(tmp_path / "certificate.pem", tmp_path / "key.pem")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.key.write_bytes(key.private_bytes(*form))
    return files


async def check(channel: grpc.aio.Channel) -> int:
    status: int = (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)).status
    return status


async def test_tls_serves_those_who_trust_the_certificate_and_nobody_in_the_clear(
    tls: TlsFiles, tmp_path: Path
) -> None:
    async with gateway(tmp_path, tls=tls) as served:
        assert (await served.stub.Generate(request())).text == "one two three"
        async with grpc.aio.insecure_channel(served.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await check(channel)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_with_a_client_authority_clients_must_show_a_certificate(tls: TlsFiles) -> None:
    health = Health()
    await health.set_ready(True)
    settings = replace(LIMITS, tls=replace(tls, client_ca=tls.certificate))
    listener = Listener(settings, health)
    address = await listener.start("127.0.0.1:0")
    authority = tls.certificate.read_bytes()
    try:
        shown = grpc.ssl_channel_credentials(authority, tls.key.read_bytes(), authority)
        async with grpc.aio.secure_channel(address, shown) as channel:
            assert await check(channel) == 1
        async with grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await check(channel)
    finally:
        await listener.stop(0)


async def test_a_taken_address_is_an_error() -> None:
    health = Health()
    first, second = Listener(LIMITS, health), Listener(LIMITS, health)
    address = await first.start("127.0.0.1:0")
    try:
        with pytest.raises(OSError, match=f"cannot listen on {address}"):
            await second.start(address)
    finally:
        await first.stop(0)


async def test_an_old_connection_is_told_to_go_and_the_client_comes_back() -> None:
    health = Health()
    await health.set_ready(True)
    listener = Listener(replace(LIMITS, max_connection_age=0.3, max_connection_age_grace=0.2), health)
    address = await listener.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            assert await check(channel) == 1
            states = []

            async def watch() -> None:
                state = channel.get_state()
                while state is not grpc.ChannelConnectivity.IDLE:
                    await channel.wait_for_state_change(state)
                    state = channel.get_state()
                    states.append(state)

            await asyncio.wait_for(watch(), 5)
            assert states[-1] is grpc.ChannelConnectivity.IDLE  # the server closed it
            assert await check(channel) == 1  # and a new one works
    finally:
        await listener.stop(0)
