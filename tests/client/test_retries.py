"""What the client tries again, and what it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from tests.support.blackhole_proxy import blackhole_proxy
from tests.support.gateway.harness import request
from trivet.api.v1 import inference_pb2, inference_pb2_grpc
from trivet.client import AsyncClient, CallFailed, Client, Retry, Target

OVERLOADED = grpc.StatusCode.RESOURCE_EXHAUSTED
FINAL = inference_pb2.GenerateStreamResponse(final=inference_pb2.GenerateResponse(text="done"))
DELTA = inference_pb2.GenerateStreamResponse(delta=inference_pb2.Delta(text="do"))


class Busy(inference_pb2_grpc.InferenceServicer):
    """Fails so many times: in the given way, and with a chunk before the failure if told so."""

    def __init__(self, failures: int, code: grpc.StatusCode = OVERLOADED, wait: float | None = 0.05) -> None:
        self.failures, self.code, self.wait = failures, code, wait
        self.calls: list[float] = []
        self.left: list[float] = []
        self.chunk_first = False
        self.pushback: str | None = None

    async def _maybe_fail(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self.calls.append(time.monotonic())
        self.left.append(context.time_remaining())
        if len(self.calls) > self.failures:
            return
        status = status_pb2.Status(code=self.code.value[0], message="busy")
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="trivet"))
        trailers: list[tuple[str, str | bytes]] = []
        if self.wait is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(int(self.wait * 1000))
            status.details.add().Pack(retry)
        if self.pushback is not None:
            trailers.append(("grpc-retry-pushback-ms", self.pushback))
        trailers.append(("grpc-status-details-bin", status.SerializeToString()))
        context.set_trailing_metadata(trailers)
        await context.abort(self.code, "busy")

    async def Generate(
        self, request: inference_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> inference_pb2.GenerateResponse:
        await self._maybe_fail(context)
        return inference_pb2.GenerateResponse(text="done")

    async def GenerateStream(
        self, request: inference_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[inference_pb2.GenerateStreamResponse]:
        if self.chunk_first:
            yield DELTA
        await self._maybe_fail(context)
        yield FINAL


@asynccontextmanager
async def serving(servicer: Busy) -> AsyncIterator[Target]:
    server = grpc.aio.server()
    inference_pb2_grpc.add_InferenceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Target(f"127.0.0.1:{port}")
    finally:
        await server.stop(0)


def in_thread(client: Client) -> str:
    return client.generate(request()).text


def streamed_in_thread(client: Client) -> str:
    return list(client.generate_stream(request()))[-1].final.text


@pytest.mark.parametrize("ask", [in_thread, streamed_in_thread])
async def test_a_thread_waits_as_long_as_the_server_says(ask: Callable[[Client], str]) -> None:
    busy = Busy(2)
    async with serving(busy) as target:
        with Client(target, retry=Retry(attempts=3)) as client:
            assert await asyncio.to_thread(ask, client) == "done"
    assert len(busy.calls) == 3
    assert all(later - earlier >= 0.05 for earlier, later in zip(busy.calls, busy.calls[1:], strict=False))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_event_loop_waits_as_long_as_the_server_says(stream: bool) -> None:
    busy = Busy(2)
    async with serving(busy) as target, AsyncClient(target, retry=Retry(attempts=3)) as client:
        if stream:
            events = [event async for event in client.generate_stream(request())]
            assert events == [FINAL]
        else:
            assert (await client.generate(request())).text == "done"
    assert len(busy.calls) == 3
    assert all(later - earlier >= 0.05 for earlier, later in zip(busy.calls, busy.calls[1:], strict=False))


async def fails(busy: Busy, retry: Retry | None = None, timeout: float = 10.0) -> CallFailed:
    more = {} if retry is None else {"retry": retry}
    async with serving(busy) as target, AsyncClient(target, timeout=timeout, **more) as client:
        with pytest.raises(CallFailed) as error:
            await client.generate(request())
    return error.value


async def test_nothing_is_tried_again_unless_asked_for() -> None:
    busy = Busy(1)
    assert (await fails(busy)).retry_after == 0.05
    assert len(busy.calls) == 1


async def test_attempts_are_bounded() -> None:
    busy = Busy(9)
    await fails(busy, Retry(attempts=3))
    assert len(busy.calls) == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT, OVERLOADED])
async def test_an_error_without_a_time_is_final(code: grpc.StatusCode) -> None:
    busy = Busy(1, code, wait=None)
    await fails(busy, Retry())
    assert len(busy.calls) == 1


async def test_a_server_that_says_no_more_is_obeyed() -> None:
    busy = Busy(1)
    busy.pushback = "-1"
    assert (await fails(busy, Retry())).retry_after is None
    assert len(busy.calls) == 1


async def test_a_pushback_alone_is_enough() -> None:
    busy = Busy(1, wait=None)
    busy.pushback = "20"
    async with serving(busy) as target, AsyncClient(target, retry=Retry()) as client:
        assert (await client.generate(request())).text == "done"
    assert len(busy.calls) == 2


async def test_a_wait_that_is_too_long_fails_at_once() -> None:
    for retry, timeout in ((Retry(longest_wait=1.0), 60.0), (Retry(), 10.0)):
        busy, began = Busy(1, wait=30.0), time.monotonic()
        await fails(busy, retry, timeout)
        assert len(busy.calls) == 1
        assert time.monotonic() - began < 5


async def test_all_attempts_share_one_deadline() -> None:
    busy = Busy(2, wait=0.2)
    async with serving(busy) as target, AsyncClient(target, timeout=5.0, retry=Retry()) as client:
        await client.generate(request())
    assert busy.left[0] - busy.left[2] >= 0.39


@pytest.mark.parametrize("asyncio_client", [False, True])
async def test_a_stream_is_never_tried_again_after_its_first_chunk(asyncio_client: bool) -> None:
    busy = Busy(1)
    busy.chunk_first = True
    told: list[inference_pb2.GenerateStreamResponse] = []
    async with serving(busy) as target:

        def use() -> None:
            with Client(target, retry=Retry()) as client:
                told.extend(client.generate_stream(request()))

        with pytest.raises(CallFailed, match="busy"):
            if asyncio_client:
                async with AsyncClient(target, retry=Retry()) as client:
                    async for event in client.generate_stream(request()):
                        told.append(event)
            else:
                await asyncio.to_thread(use)
    assert told in ([], [DELTA])
    assert len(busy.calls) == 1


async def test_cancelling_while_waiting_ends_the_wait() -> None:
    busy, began = Busy(9, wait=60.0), time.monotonic()
    async with serving(busy) as target:

        def use() -> None:
            with Client(target, retry=Retry()) as client:
                events = client.generate_stream(request())
                asyncio.run_coroutine_threadsafe(cancel_later(events.cancel), loop)
                with pytest.raises(CallFailed):
                    next(events)

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(use)
    assert time.monotonic() - began < 20
    assert len(busy.calls) == 1


async def cancel_later(cancel: Callable[[], None]) -> None:
    await asyncio.sleep(0.3)
    cancel()


async def test_a_server_that_starts_meanwhile_is_found() -> None:
    async with serving(Busy(0)) as target:
        pass  # a free port, by now closed
    server = grpc.aio.server()
    inference_pb2_grpc.add_InferenceServicer_to_server(Busy(0), server)
    async with AsyncClient(target, timeout=20, retry=Retry(attempts=10, first_wait=0.5)) as client:
        asked = asyncio.create_task(client.generate(request()))
        await asyncio.sleep(0.3)
        server.add_insecure_port(target.address)
        await server.start()
        assert (await asked).text == "done"
    await server.stop(0)


def test_policies_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="attempts: expected 1 to 10, got 0"):
        Retry(attempts=0)
    with pytest.raises(ValueError, match="first_wait"):
        Retry(first_wait=0)
    with Client(Target()) as client, pytest.raises(ValueError, match="timeout"):
        client.generate(request(), timeout=0)


class Slow(Busy):
    """Says something, and then nothing for a long time."""

    async def GenerateStream(
        self, request: inference_pb2.GenerateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[inference_pb2.GenerateStreamResponse]:
        yield DELTA
        await asyncio.sleep(60)


async def test_a_server_that_the_network_lost_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivet.client.target.PING_AFTER_MS", 500)
    monkeypatch.setattr("trivet.client.target.PING_TIMEOUT_MS", 500)
    async with (
        serving(Slow(0)) as target,
        blackhole_proxy(target.address) as proxy,
        AsyncClient(Target(proxy.address), timeout=50) as client,
    ):
        events = client.generate_stream(request())
        await anext(events)
        proxy.cut()
        with pytest.raises(CallFailed) as failed:
            await anext(events)
        assert failed.value.code == "UNAVAILABLE"
