"""TLS, connection limits and addresses of the listeners."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.gateway.certificates import self_signed, write_pair
from tests.support.gateway.harness import LIMITS, gateway, request
from trivet.rpc.server import Health, Listener, TlsFiles


@pytest.fixture
def tls(tmp_path: Path) -> TlsFiles:
    """A certificate for 127.0.0.1 that signs itself."""
    return self_signed(tmp_path)


@asynccontextmanager
async def listening(tls: TlsFiles) -> AsyncIterator[str]:
    """A listener with health alone."""
    health = Health()
    await health.set_ready(True)
    listener = Listener(replace(LIMITS, tls=tls), health)
    try:
        yield await listener.start("127.0.0.1:0")
    finally:
        await listener.stop(0)


async def test_calls_that_come_faster_than_they_are_taken_up_are_all_answered(tmp_path: Path) -> None:
    """A stalled event loop takes up none; gRPC's core would cancel some by chance from 1,000 that wait on."""
    health = Health()
    await health.set_ready(True)
    listener = Listener(LIMITS, health)
    address = await listener.start("127.0.0.1:0")
    connected, stalled, sent = threading.Event(), threading.Event(), threading.Event()

    def ask() -> Counter[str]:
        channels = [grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(25)]
        stubs = [health_pb2_grpc.HealthStub(channel) for channel in channels]
        for stub in stubs:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=60)
        connected.set()
        assert stalled.wait(60)
        asked = [stub.Check.future(health_pb2.HealthCheckRequest(), timeout=60) for stub in stubs for _ in range(80)]
        time.sleep(1)  # for the core, which has threads of its own, to be given all of them
        sent.set()
        codes = Counter(str(one.code()) for one in asked)
        for channel in channels:
            channel.close()
        return codes

    try:
        asking = asyncio.create_task(asyncio.to_thread(ask))
        while not connected.is_set():
            await asyncio.sleep(0.001)
        stalled.set()
        sent.wait(60)  # nothing else may run
        assert await asking == {"StatusCode.OK": 2000}
    finally:
        await listener.stop(0)


async def answers(address: str, credentials: grpc.ChannelCredentials) -> bool:
    """Whether a new connection is served; channels with the same settings would share one."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(address, credentials, options) as channel:
        try:
            return await check(channel) == 1
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False


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


async def test_a_client_that_answers_no_ping_is_let_go() -> None:
    """As one that hangs: its machine acknowledges what comes, so that no packet is lost."""
    listener = Listener(replace(LIMITS, ping_interval=0.5, ping_timeout=0.5), Health())
    host, _, port = (await listener.start("127.0.0.1:0")).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")  # with no settings
        async with asyncio.timeout(60):
            assert await reader.read()
    finally:
        writer.close()
        await listener.stop(0)


async def test_with_a_client_authority_clients_must_show_a_certificate(tls: TlsFiles) -> None:
    authority = tls.certificate.read_bytes()
    async with listening(replace(tls, client_ca=tls.certificate)) as address:
        assert await answers(address, grpc.ssl_channel_credentials(authority, tls.key.read_bytes(), authority))
        assert not await answers(address, grpc.ssl_channel_credentials(authority))


async def test_a_rotated_certificate_is_served_to_new_connections_without_a_restart(tls: TlsFiles) -> None:
    async with listening(tls) as address:
        old = grpc.ssl_channel_credentials(tls.certificate.read_bytes())
        async with grpc.aio.secure_channel(address, old) as open_before:
            assert await check(open_before) == 1
            new = grpc.ssl_channel_credentials(write_pair(tls))
            assert await answers(address, new)
            assert not await answers(address, old)
            assert await check(open_before) == 1  # its connection goes on


@pytest.mark.parametrize("damage", ["half", "other key", "gone"])
async def test_a_pair_that_cannot_be_used_leaves_the_one_before(
    tls: TlsFiles, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    old, key = tls.certificate.read_bytes(), tls.key.read_bytes()
    async with listening(tls) as address:
        new = write_pair(tls)
        if damage == "half":
            tls.certificate.write_bytes(new[: len(new) // 2])
        elif damage == "other key":
            new_key = tls.key.read_bytes()
            tls.key.write_bytes(key)
        else:
            tls.certificate.unlink()
        assert await answers(address, grpc.ssl_channel_credentials(old))
        assert "cannot be used, those before go on being served" in caplog.text
        assert "PRIVATE" not in caplog.text
        if damage == "other key":
            tls.key.write_bytes(new_key)
        else:
            tls.certificate.write_bytes(new)
        assert await answers(address, grpc.ssl_channel_credentials(new))


async def test_a_rotated_client_authority_is_asked_of_new_connections(tls: TlsFiles, tmp_path: Path) -> None:
    first, second = (TlsFiles(tmp_path / f"{name}.pem", tmp_path / f"{name}-key.pem") for name in "ab")
    server, authority = tls.certificate.read_bytes(), tmp_path / "authority.pem"
    shown = []
    for client in (first, second):
        certificate = write_pair(client)
        shown.append(grpc.ssl_channel_credentials(server, client.key.read_bytes(), certificate))
    authority.write_bytes(first.certificate.read_bytes())
    async with listening(replace(tls, client_ca=authority)) as address:
        assert [await answers(address, one) for one in shown] == [True, False]
        authority.write_bytes(first.certificate.read_bytes() + second.certificate.read_bytes())
        assert [await answers(address, one) for one in shown] == [True, True]
        authority.write_bytes(second.certificate.read_bytes())
        assert [await answers(address, one) for one in shown] == [False, True]


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

            await asyncio.wait_for(watch(), 30)
            assert states[-1] is grpc.ChannelConnectivity.IDLE  # the server closed it
            assert await check(channel) == 1  # and a new one works
    finally:
        await listener.stop(0)


class Unread:
    """As gRPC's context of a call whose client takes nothing off the wire."""

    def __init__(self) -> None:
        self.writing = asyncio.Event()

    async def write(self, _message: object) -> None:
        self.writing.set()
        await asyncio.Event().wait()

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> None:
        return None


async def test_a_watcher_that_reads_nothing_keeps_health_from_nobody() -> None:
    health, stuck = Health(), Unread()
    await health.set_ready(False)
    context: Any = stuck
    watching = asyncio.create_task(health.servicer.Watch(health_pb2.HealthCheckRequest(), context))
    await stuck.writing.wait()
    async with asyncio.timeout(60):
        await health.set_ready(True)
    listener = Listener(LIMITS, health)
    address = await listener.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await health.set_ready(False)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await listener.stop(0)
