"""What connections may do: go away, not read, send slowly or too much; and what is told before anything is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest

from tests.support.gateway.harness import Gateway
from trivet.http import Door, ExchangeLimits, HttpListener, HttpSettings, application, listener

BODY = {"model": "plain", "messages": [{"role": "user", "content": "Tell me."}]}


async def soon(holds: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.002)


def head(body: bytes, more: str = "") -> bytes:
    lines = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer secret-a\r\n{more}"
    return f"{lines}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()


async def connect(served: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = served.http.split(":")
    return await asyncio.open_connection(host, int(port))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_aborts_the_engines_work(served: Gateway, stream: bool) -> None:
    served.backend.interval, served.backend.script = 0.02, ["word "] * 5000
    reader, writer = await connect(served)
    body = json.dumps({**BODY, "stream": stream}).encode()
    writer.write(head(body) + body)
    await soon(lambda: served.backend.in_flight == 1)
    if stream:
        await reader.readuntil(b"word")
    writer.close()
    await soon(lambda: served.backend.in_flight == 0)  # long before the end of what it would have said
    assert served.backend.aborted == 1
    await soon(lambda: served.metric("requests_total", route="plain", variant="plain", code="CANCELLED") == 1)


async def test_one_that_does_not_read_is_given_up(served: Gateway) -> None:
    served.backend.script = ["x" * 100_000] * 400
    reader, writer = await connect(served)
    body = json.dumps({**BODY, "stream": True}).encode()
    writer.write(head(body) + body)
    await reader.readuntil(b"\r\n\r\n")
    await soon(lambda: served.backend.aborted == 1, 10)
    await soon(lambda: served.metric("requests_total", route="plain", variant="plain", code="ABORTED") == 1)
    rest = await asyncio.wait_for(_end(reader), 60)
    assert not rest.endswith(b"0\r\n\r\n"), "the connection was given up: what it has not read is not kept for it"
    writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(served: Gateway) -> None:
    reader, writer = await connect(served)
    writer.write(head(b"x" * 100) + b'{"model"')
    answer = await asyncio.wait_for(reader.readuntil(b"}}}"), 60)
    assert b"504" in answer.split(b"\r\n")[0]
    assert b"did not arrive within" in answer
    writer.close()


async def test_a_head_that_is_too_long_or_never_ends_closes_the_connection(
    served: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = await connect(served)
    writer.write(b"GET /health HTTP/1.1\r\n" + b"x: " + b"y" * (listener.MOST_HEAD_BYTES + 1000))
    assert await asyncio.wait_for(_end(reader), 30) == b""
    writer.close()
    monkeypatch.setattr(listener, "HEAD_TIMEOUT", 0.2)
    for begun in (b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nx: y"):
        reader, writer = await connect(served)
        writer.write(begun)
        assert await asyncio.wait_for(_end(reader), 30) == b""
        writer.close()


async def _end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_one_connection_serves_many_requests(served: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT", 0.3)
    reader, writer = await connect(served)
    for _ in range(3):
        writer.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'{"status":"ok"}' in await asyncio.wait_for(reader.readuntil(b"}"), 60)
        await asyncio.sleep(0.4)  # longer than a head may take: none has begun
    writer.close()


async def test_before_the_services_are_there() -> None:
    ready = False
    door = Door(lambda: ready)
    serving = HttpListener(application(door, ExchangeLimits(1 << 20, 1, 1)), HttpSettings())
    address = await serving.start("127.0.0.1:0")
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}") as asking:
            assert (await asking.get("/health")).status_code == 200
            assert (await asking.get("/ready")).status_code == 503
            answer = await asking.post("/v1/chat/completions", json=BODY)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            with pytest.raises(OSError, match=f"cannot listen on {address}: Address already in use"):
                await HttpListener(application(door, ExchangeLimits(1, 1, 1)), HttpSettings()).start(address)
    finally:
        await serving.stop(1)


async def test_stopping_ends_what_is_still_running_after_the_grace() -> None:
    async def never(scope: object, receive: object, send: object) -> None:
        await asyncio.sleep(3600)

    serving = HttpListener(never, HttpSettings())
    address = await serving.start("127.0.0.1:0")
    async with httpx.AsyncClient(base_url=f"http://{address}") as asking:
        request = asyncio.create_task(asking.get("/"))
        await asyncio.sleep(0.1)
        await asyncio.wait_for(serving.stop(0.2), 30)
        with pytest.raises(httpx.HTTPError):
            await request


async def test_trailers_are_bounded_in_bytes_and_in_time(served: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a request that was answered long ago."""
    begun = b"POST /health HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    monkeypatch.setattr(listener, "HEAD_TIMEOUT", 0.3)
    for more in (b"x: " + b"y" * 1000 + b"\r\n", b"x: y\r\n"):
        reader, writer = await connect(served)
        writer.write(begun)
        await reader.readuntil(b"\r\n\r\n")
        reading = asyncio.create_task(_end(reader))
        async with asyncio.timeout(60):
            while not reading.done():
                with suppress(ConnectionError):
                    writer.write(more)
                    await writer.drain()
                await asyncio.sleep(0.001 if len(more) > 100 else 0.02)
        writer.close()
