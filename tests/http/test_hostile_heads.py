"""What comes to the port and is no plain request: refused or dropped, and others are served on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from trivet.http import Door, ExchangeLimits, HttpListener, HttpSettings, application, listener
from trivet.http.listener import MOST_PIPELINED, is_loopback

HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@asynccontextmanager
async def listening(settings: HttpSettings | None = None) -> AsyncIterator[str]:
    serving = HttpListener(application(Door(lambda: True), ExchangeLimits(1 << 20, 1, 1)), settings or HttpSettings())
    try:
        yield await serving.start("127.0.0.1:0")
    finally:
        await serving.stop(0)


async def answer(address: str, sent: bytes) -> bytes:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        POST
        + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        POST + b"content-length: 4, 4\r\n\r\nabcd",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: +4\r\n\r\nabcd",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\n-1\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
        b"GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_an_ambiguous_head_is_refused_and_nothing_after_it_is_read(sent: bytes) -> None:
    async with listening() as address:
        told = await answer(address, sent + HEALTH)
        assert told.startswith(b"HTTP/1.1 400 "), told
        assert told.count(b"HTTP/1.1 ") == 1
        assert b'{"status":"ok"}' not in told
        assert b'{"status":"ok"}' in await answer(
            address, HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        )


async def test_more_connections_than_there_may_be_are_told_so() -> None:
    async with listening(HttpSettings(max_connections=3)) as address:
        host, port = address.split(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        told = await answer(address, HEALTH)
        assert told.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in told
        assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["message"] == "too many connections"
        held.pop()[1].close()
        await asyncio.sleep(0.1)
        held.append(await asyncio.open_connection(host, int(port)))
        held[-1][1].write(HEALTH)
        assert b"200 OK" in await held[-1][0].readuntil(b"}")
        for _, writer in held:
            writer.close()


async def test_requests_that_wait_behind_one_are_few() -> None:
    async with listening() as address:
        few = await answer(
            address, HEALTH * MOST_PIPELINED + HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        )
        assert few.count(b"200 OK") == MOST_PIPELINED + 1
        assert (await answer(address, HEALTH * 2000)).count(b"200 OK") <= MOST_PIPELINED + 1


async def test_a_body_in_pieces_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT", 0.5)
    async with listening() as address:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(POST + b"transfer-encoding: chunked\r\n\r\n")
        assert (await reader.readuntil(b"}}}")).startswith(b"HTTP/1.1 503")  # answered, and the body goes on

        async def trickle() -> None:
            while not (reader.at_eof() or reader.exception()):  # a reset may overtake the end
                writer.write(b"1\r\nx\r\n")
                await asyncio.sleep(0.02)

        await asyncio.wait_for(asyncio.gather(trickle(), reader.read(), return_exceptions=True), 30)
        writer.close()


OWN = (b"localhost:7603", b"127.0.0.1", b"127.8.8.8:1", b"[::1]:7603", b"a.localhost")
OTHERS = (b"evil.example", b"127.0.0.1.evil.example", b"localhost.evil.example:80", b"10.0.0.1", b"", b"[evil")


@pytest.mark.parametrize(("host", "own"), [*((host, True) for host in OWN), *((host, False) for host in OTHERS)])
async def test_without_keys_a_host_of_another_name_is_refused(host: bytes, own: bool) -> None:
    assert is_loopback(host) is own
    sent = b"GET /health HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"
    async with listening(HttpSettings(only_loopback=True)) as address:
        assert (await answer(address, sent)).startswith(b"HTTP/1.1 200" if own else b"HTTP/1.1 403")
    async with listening() as address:
        assert (await answer(address, sent)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", b"200"),
        ("http://127.0.0.1", b"200"),
        ("http://[::1]:8080", b"200"),
        ("https://evil.example", b"403"),
        ("http://localhost.evil.example", b"403"),
        ("null", b"403"),
    ],
)
async def test_without_keys_pages_of_other_origins_are_refused(origin: str, status: bytes) -> None:
    sent = HEALTH.replace(b"\r\n\r\n", f"\r\norigin: {origin}\r\nconnection: close\r\n\r\n".encode())
    async with listening(HttpSettings(only_loopback=True)) as address:
        assert (await answer(address, sent)).split()[1] == status
    async with listening() as address:
        assert (await answer(address, sent)).split()[1] == b"200", "with keys a page has none"
