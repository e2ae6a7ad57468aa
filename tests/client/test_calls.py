"""The client against a gateway on a real listener, over a scripted engine: calls, streams, errors, keys, TLS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway.certificates import self_signed
from tests.support.gateway.harness import Gateway, gateway, request
from trivet.api.v1.inference_pb2 import GenerateRequest, GenerateStreamResponse, RetrieveRequest
from trivet.client import AsyncClient, CallFailed, Client, Target
from trivet.rpc.server import TlsFiles
from trivet.testing.backend import ScriptedBackend
from trivet.types.request import KeyRole

ANSWER = "one two three"
SLOW = [f"w{number} " for number in range(200)]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with gateway(tmp_path) as running:
        yield running


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A token each 20 ms, 4 s in all."""
    async with gateway(tmp_path, backend=ScriptedBackend(SLOW, interval=0.02)) as running:
        yield running


async def until_idle(served: Gateway) -> None:
    async with asyncio.timeout(60):
        while served.backend.in_flight:
            await asyncio.sleep(0.005)


async def test_a_thread_gets_answers_streams_passages_and_receipts(served: Gateway) -> None:
    def use() -> None:
        with Client(Target(served.address)) as client:
            assert client.serving()
            answer = client.generate(request("rag"), metadata=[("x-request-id", "mine-1")])
            assert answer.text == ANSWER
            assert client.get_receipt("mine-1").receipt == answer.receipt
            with client.generate_stream(request()) as events:
                told = list(events)
            assert "".join(event.delta.text for event in told) == told[-1].final.text == ANSWER
            found = client.retrieve(RetrieveRequest(route="rag", text="hello"))
            assert [item.document_id for item in found.citations] == ["doc-a", "doc-b"]

    await asyncio.to_thread(use)


async def test_an_event_loop_gets_answers_streams_passages_and_receipts(served: Gateway) -> None:
    async with AsyncClient(Target(served.address)) as client:
        assert await client.serving()
        answer = await client.generate(request("rag"), metadata=[("x-request-id", "mine-2")])
        assert answer.text == ANSWER
        assert (await client.get_receipt("mine-2")).receipt == answer.receipt
        async with client.generate_stream(request()) as events:
            told = [event async for event in events]
        assert "".join(event.delta.text for event in told) == told[-1].final.text == ANSWER
        found = await client.retrieve(RetrieveRequest(route="rag", text="hello"))
        assert [item.document_id for item in found.citations] == ["doc-a", "doc-b"]


async def test_a_server_that_is_not_ready_says_so(served: Gateway) -> None:
    await served.health.set_ready(False)
    async with AsyncClient(Target(served.address)) as client:
        assert not await client.serving()


async def test_leaving_a_stream_cancels_it_in_the_engine(slow: Gateway) -> None:
    def leave() -> GenerateStreamResponse:
        with Client(Target(slow.address)) as client, client.generate_stream(request()) as events:
            return next(events)

    assert (await asyncio.to_thread(leave)).delta.text
    await until_idle(slow)
    async with AsyncClient(Target(slow.address)) as client, client.generate_stream(request()) as events:
        async for _ in events:
            break
        assert slow.backend.in_flight == 1
    await until_idle(slow)
    assert slow.backend.aborted == 2


async def test_a_stream_that_is_cancelled_from_elsewhere_ends_as_cancelled(slow: Gateway) -> None:
    def use() -> None:
        with Client(Target(slow.address)) as client:
            events = client.generate_stream(request())
            threading.Timer(0.2, events.cancel).start()
            with pytest.raises(CallFailed) as error:
                list(events)
            assert error.value.code == "CANCELLED"

    await asyncio.to_thread(use)
    async with AsyncClient(Target(slow.address)) as client:
        stream = client.generate_stream(request())
        asyncio.get_running_loop().call_later(0.2, stream.cancel)
        with pytest.raises(CallFailed) as error:
            [event async for event in stream]
        assert error.value.code == "CANCELLED"
    await until_idle(slow)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_task_cancels_its_call(slow: Gateway, stream: bool) -> None:
    async with AsyncClient(Target(slow.address)) as client:

        async def use() -> None:
            if stream:
                async for _ in client.generate_stream(request()):
                    pass
            else:
                await client.generate(request())

        task = asyncio.create_task(use())
        async with asyncio.timeout(60):
            while not slow.backend.in_flight:
                await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_idle(slow)
    assert slow.backend.aborted == 1


async def test_a_deadline_holds_for_calls_and_streams(slow: Gateway) -> None:
    async with AsyncClient(Target(slow.address), timeout=0.3) as client:
        with pytest.raises(CallFailed) as error:
            await client.generate(request())
        assert error.value.code == "DEADLINE_EXCEEDED"
        with pytest.raises(CallFailed) as error:
            [event async for event in client.generate_stream(request(), timeout=0.2)]
        assert error.value.code == "DEADLINE_EXCEEDED"
    await until_idle(slow)


async def test_an_error_says_what_is_wrong_and_whose_call_it_was(served: Gateway) -> None:
    async with AsyncClient(Target(served.address)) as client:
        with pytest.raises(CallFailed) as error:
            await client.generate(GenerateRequest(route="plain"), metadata=[("x-request-id", "bad-1")])
        assert (error.value.code, error.value.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert "messages" in error.value.fields
        assert error.value.request_id == "bad-1"
        assert error.value.retry_after is None
        with pytest.raises(CallFailed) as error:
            await client.generate(request("nowhere"))
        assert error.value.reason == "UNKNOWN_ROUTE"


async def test_a_failed_generation_has_its_receipt(served: Gateway) -> None:
    served.backend.ready = False
    async with AsyncClient(Target(served.address)) as client:
        with pytest.raises(CallFailed) as error:
            await client.generate(request())
    assert error.value.code == "UNAVAILABLE"
    assert error.value.retry_after is not None
    assert error.value.receipt is not None
    assert error.value.receipt.request_id == error.value.request_id


async def test_a_key_opens_the_door(tmp_path: Path) -> None:
    async with gateway(tmp_path, keys=[("alpha", "acme", KeyRole.CLIENT)]) as served:
        async with AsyncClient(Target(served.address, key="alpha")) as client:
            assert (await client.generate(request())).receipt.tenant == "acme"
        async with AsyncClient(Target(served.address, key="wrong")) as client:
            with pytest.raises(CallFailed) as error:
                await client.generate(request())
        assert error.value.code == "UNAUTHENTICATED"


async def test_tls_and_a_certificate_of_the_clients_own(tmp_path: Path) -> None:
    files, own = self_signed(tmp_path), self_signed(tmp_path / "client")
    asked = TlsFiles(files.certificate, files.key, client_ca=own.certificate)
    trusting = files.certificate
    async with (
        gateway(tmp_path, tls=TlsFiles(files.certificate, files.key)) as served,
        AsyncClient(Target(served.address, ca_file=trusting)) as client,
    ):
        assert (await client.generate(request())).text == ANSWER
    async with gateway(tmp_path, tls=asked) as served:
        known = Target(served.address, ca_file=trusting, cert_file=own.certificate, key_file=own.key)
        async with AsyncClient(known) as client:
            assert (await client.generate(request())).text == ANSWER
        async with AsyncClient(Target(served.address, ca_file=trusting)) as client:
            with pytest.raises(CallFailed) as error:
                await client.generate(request())
        assert error.value.code == "UNAVAILABLE"


def test_a_target_that_could_not_work_is_refused() -> None:
    with pytest.raises(ValueError, match="cert_file and key_file together"):
        Target(ca_file=Path("ca.pem"), cert_file=Path("own.pem"))
    with pytest.raises(ValueError, match="expected ca_file as well"):
        Target(cert_file=Path("own.pem"), key_file=Path("own.key"))
